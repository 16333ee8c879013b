package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	client "github.com/digital-sentinel/sentinel/agent/backend"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// How BenchmarkKeep brings records.
const (
	benchSenders = 16
	benchBatch   = 100
	benchBatches = 40 // of each sender
)

// BenchmarkKeep measures unique records a second into the bolt store, with a
// fifth of the batches brought twice: into the store alone, and through kiosks'
// clients over HTTP/2, mutual TLS and JSON to the platform with its admission,
// both ends on this machine. Beside it, in turns, the limit: the bytes of one
// batch written and synced by fdatasync, one writer, no index, nothing known
// again. One operation is a whole run.
func BenchmarkKeep(b *testing.B) {
	records := realistic(b)
	rates := map[string][]float64{}
	waits := map[string][]time.Duration{}
	for b.Loop() {
		rates["limit"] = append(rates["limit"], limit(b, records))
		for name, bring := range map[string]func(testing.TB) (func(int, []checkin.Record), func() int){"store": intoStore, "https": overHTTPS} {
			send, end := bring(b)
			rate, waited := drive(b, records, send)
			if held := end(); held != benchSenders*benchBatches*benchBatch {
				b.Fatalf("%s: %d records are held", name, held)
			}
			rates[name], waits[name] = append(rates[name], rate), append(waits[name], waited...)
		}
	}
	b.ReportMetric(0, "ns/op")
	body, _ := checkin.EncodeRecord(&records[0][0])
	b.ReportMetric(float64(len(body)), "B/record")
	for name, list := range rates {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], name+"-records/s")
	}
	for name, list := range waits {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(list[len(list)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}

// realistic makes visits with a whole decision and an identity that is sealed.
func realistic(b *testing.B) [][]checkin.Record {
	b.Helper()
	authority, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, authority.Recipient())
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.WriteString(w, `{"uuid":"0193b1f2-7a54-7cc1-b6e4-2f0d5a3c1b77","kind":"resident-id","value":"11010519491231002X","name":"王小明"}`)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	all := make([][]checkin.Record, benchSenders)
	for sender := range all {
		all[sender] = made(kioskName(sender), 0, benchBatches*benchBatch)
		for i := range all[sender] {
			r := &all[sender][i]
			r.Identity, r.KeyID = sealed.Bytes(), "5f2c11aa"
			r.Event.At.Wall = morning.Add(time.Duration(i) * 700 * time.Millisecond)
			r.Event.At.BootID = "0193b1f2-7a54-7cc1-b6e4-2f0d5a3c1b78"
			r.Event.Verdict = &checkin.Decision{
				Outcome: checkin.Granted, Reason: checkin.OK, Rule: "green-and-tested", Policy: "public-place", PolicyVersion: 7,
				Mode: checkin.ModeOnline, Class: "office", Credential: checkin.ResidentID, Known: true, Colour: checkin.Green,
				NAT: checkin.Negative, Sampled: morning, Reported: morning, AsOf: morning, Temperature: checkin.Normal, Now: morning, ClockOK: true,
			}
		}
	}
	return all
}

func kioskName(sender int) string { return fmt.Sprintf("k-%d", sender) }

// drive has every sender bring its batches, a fifth of them twice.
func drive(b *testing.B, records [][]checkin.Record, send func(sender int, batch []checkin.Record)) (rate float64, waited []time.Duration) {
	var all sync.WaitGroup
	var mu sync.Mutex
	start := time.Now()
	for sender := range benchSenders {
		all.Go(func() {
			var mine []time.Duration
			for n, batch := range slices.Collect(slices.Chunk(records[sender], benchBatch)) {
				for range 1 + min(1, (n+sender)%5/4) {
					asked := time.Now()
					send(sender, batch)
					mine = append(mine, time.Since(asked))
				}
			}
			mu.Lock()
			waited = append(waited, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	return benchSenders * benchBatches * benchBatch / time.Since(start).Seconds(), waited
}

func intoStore(b testing.TB) (send func(int, []checkin.Record), end func() int) {
	s := open(b, "bolt:"+filepath.Join(b.TempDir(), "platform.db"))
	send = func(_ int, batch []checkin.Record) { keep(b, s, backend.Checkins, batch...) }
	return send, func() int { defer s.Close(); return count(b, s, backend.Checkins).Records }
}

func overHTTPS(b testing.TB) (send func(int, []checkin.Record), end func() int) {
	s := open(b, "bolt:"+filepath.Join(b.TempDir(), "platform.db"))
	pki, err := backend.NewPKI("k-0", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	p := backend.New(backend.Opts{Key: pki.Statement, KeyID: pki.KeyID, Now: time.Now, Store: s})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &backend.Server{
		Handler: backend.NewAdmission(backend.AdmissionOpts{}).Wrap(p.Handler()), TLS: pki.ServerTLS(),
		Listen: func() (net.Listener, error) { return l, nil },
	}
	if err := server.Up(); err != nil {
		b.Fatal(err)
	}
	clients := make([]*client.Client, benchSenders)
	for i := range clients {
		own, err := pki.Enrol(kioskName(i))
		if err != nil {
			b.Fatal(err)
		}
		clients[i], err = client.New(client.Opts{
			URL: "https://" + l.Addr().String(), TLS: own, Kiosk: kioskName(i), Clock: &clock.Clock{Wall: time.Now},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	send = func(sender int, batch []checkin.Record) {
		acks, err := clients[sender].Deliver(context.Background(), checkin.Backlog, batch)
		if err != nil || len(acks) != len(batch) {
			b.Errorf("Deliver() = %d answers, %v", len(acks), err)
		}
	}
	return send, func() int {
		for _, c := range clients {
			c.Close()
		}
		server.Down()
		defer s.Close()
		return count(b, s, backend.Checkins).Records
	}
}

// limit writes one sender's batches into a file that has its size already, each
// with one fdatasync.
func limit(b *testing.B, records [][]checkin.Record) float64 {
	var batch []byte
	for i := range records[0][:benchBatch] {
		body, err := checkin.EncodeRecord(&records[0][i])
		if err != nil {
			b.Fatal(err)
		}
		batch = append(batch, body...)
	}
	const batches = 200
	f, err := os.Create(filepath.Join(b.TempDir(), "limit"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, batches*len(batch))); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	start := time.Now()
	for n := range batches {
		if _, err := f.WriteAt(batch, int64(n*len(batch))); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
	return batches * benchBatch / time.Since(start).Seconds()
}
