package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/digital-sentinel/sentinel/agent/clock"
	"github.com/digital-sentinel/sentinel/agent/cmd/kiosk"
	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/configs/policies"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// kioskRunner is the agent's life, as the front gives it.
type kioskRunner interface {
	start() error
	stop() error
	kill() error
	running() bool
	words() string // what it said last, for errors
}

// listen opens the platform's address. It stays the same over down and up.
func (b *Bench) listen() error {
	handler := b.overheard(b.platform.Handler())
	b.server = &backend.Server{Handler: b.faults.Wrap(backend.NewAdmission(backend.AdmissionOpts{}).Wrap(handler)), TLS: b.pki.ServerTLS()}
	if b.o.Front == Memory {
		b.url = "https://localhost"
		b.server.Listen = func() (net.Listener, error) {
			l := backend.NewMemoryListener()
			b.setMemoryPlatform(l)
			return l, nil
		}
		return nil
	}
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("opening the platform's address: %w", err)
	}
	address := first.Addr().String()
	b.url = "https://" + address
	b.server.Listen = func() (net.Listener, error) {
		if l := first; l != nil {
			first = nil
			return l, nil
		}
		return net.Listen("tcp", address)
	}
	return nil
}

// overheard lets the test hear what the agent sends to the platform.
func (b *Bench) overheard(h http.Handler) http.Handler {
	if b.o.Heard == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the agent has hung up
		}
		b.o.Heard(r.URL.Path, body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
	})
}

// configure writes everything that a kiosk is given at installation.
func (b *Bench) configure() error {
	files, err := b.pki.Write(b.dir)
	if err != nil {
		return err
	}
	policy, err := b.policyFile()
	if err != nil {
		return err
	}
	recipient := filepath.Join(b.dir, "authority.age")
	if err := os.WriteFile(recipient, []byte(b.authority.Recipient().String()+"\n"), 0o600); err != nil {
		return err
	}
	var c strings.Builder
	fmt.Fprintf(&c, "# made by the bench\nbench: true\ndevice: %s\nprofile: %s\nstate: state\npolicy: %s\n", kioskID, b.o.Profile, policy)
	fmt.Fprintf(&c, "venue: {id: bench-venue, name: 模拟大厦, name_en: Bench Building, address: 模拟路 1 号, wait_at: 大厅左侧等候区, wait_at_en: the left side of the lobby, class: %s}\n", b.o.Class)
	fmt.Fprintf(&c, "platform:\n  urls: [%s]\n  ca: %s\n  certificate: %s\n  key: %s\n  statement_keys: [%s]\n",
		b.url, files.CA, files.Certificate, files.Key, files.StatementKey)
	fmt.Fprintf(&c, "records: {recipient: %s}\nscreen: {listen: %q}\ncontrol: control.sock\n", recipient, b.o.Screen)
	for i, name := range Recipients() {
		if i == 0 {
			c.WriteString("reports:\n")
		}
		fmt.Fprintf(&c, "  - name: %s\n", name)
	}
	fmt.Fprintf(&c, "trust: {root: %s, refresh: 1h}\n", rootFile)
	if b.o.Front != Memory {
		fmt.Fprintf(&c, "clock: unix:%s\n", b.socket("clock"))
	}
	if b.hasGate() {
		c.WriteString("gate:\n  rest: locked\n")
		if b.o.Settle > 0 {
			fmt.Fprintf(&c, "  settle: %v\n", b.o.Settle)
		}
	}
	c.WriteString("codes:\n  personal: [\"https://code.sentinel.example/p/\", \"https://app.sentinel.example/open?code=*\"]\n  issuers:\n")
	for _, issuer := range benchIssuers {
		fmt.Fprintf(&c, "    %s: [\"https://code.%s.example/p/\"]\n", issuer, issuer)
	}
	c.WriteString("devices:\n")
	for _, d := range b.devices {
		c.WriteString(d.yaml())
	}
	return os.WriteFile(b.configPath(), []byte(c.String()), 0o600)
}

func (b *Bench) configPath() string { return filepath.Join(b.dir, "kiosk.yaml") }

// policyFile writes the shipped policy, with the scenario's guard mode.
func (b *Bench) policyFile() (string, error) {
	data, err := policies.Files.ReadFile(b.o.Policy + ".yaml")
	if err != nil {
		return "", fmt.Errorf("%q is no shipped policy; there are %s", b.o.Policy, strings.Join(policies.Names(), ", "))
	}
	if b.o.Guard != "" {
		lines := strings.Split(string(data), "\n")
		for i, l := range lines {
			if strings.HasPrefix(l, "guard:") {
				lines[i] = "guard: " + b.o.Guard
			}
			if strings.HasPrefix(l, "phone:") {
				lines[i] = "phone: 021-00000000"
			}
		}
		data = []byte(strings.Join(lines, "\n"))
	}
	path := filepath.Join(b.dir, "policy.yaml")
	return path, os.WriteFile(path, data, 0o600)
}

// prepareKiosk makes the front's runner and the observer of its control
// socket.
func (b *Bench) prepareKiosk() error {
	if b.o.Front == Memory {
		m := &memoryKiosk{b: b}
		b.kiosk = m
		b.seen.dial = m.dialControl
		return nil
	}
	program, err := b.program()
	if err != nil {
		return err
	}
	if err := b.serveClock(); err != nil {
		return err
	}
	control := filepath.Join(b.dir, "control.sock")
	b.kiosk = &childKiosk{b: b, program: program}
	b.seen.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", control)
	}
	return nil
}

// program finds the agent: beside this program, or where it was said to be.
func (b *Bench) program() (string, error) {
	if b.o.Sentinel != "" {
		return b.o.Sentinel, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), "sentinel")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the agent's program is not beside this one: %w (make build makes both; or say --sentinel PATH)", err)
	}
	return path, nil
}

// serveClock tells the agent how far its clock is moved.
func (b *Bench) serveClock() error {
	l, err := net.Listen("unix", b.socket("clock"))
	if err != nil {
		return err
	}
	context.AfterFunc(b.ctx, func() { _ = l.Close() })
	b.runs.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.runs.Go(func() { b.tellClock(c) })
		}
	})
	return nil
}

func (b *Bench) tellClock(c net.Conn) {
	defer c.Close()
	for {
		b.clockMu.Lock()
		offset, boot, moved := b.kioskOffset.Load(), b.bootOffset.Load(), b.clockMoved
		b.clockMu.Unlock()
		if _, err := fmt.Fprintf(c, "offset %v boot %v id %s\n", time.Duration(offset), time.Duration(boot), b.bootID()); err != nil {
			return
		}
		select {
		case <-moved:
		case <-b.ctx.Done():
			return
		}
	}
}

// childKiosk is the unmodified program as a child process.
type childKiosk struct {
	b       *Bench
	program string

	mu    sync.Mutex
	child *exec.Cmd
	log   *tail
	ended chan struct{}
}

func (k *childKiosk) start() error {
	if k.running() {
		return errors.New("the agent runs already")
	}
	for _, d := range k.b.devices {
		if err := d.clear(); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	child := exec.Command(k.program, "run", "--config", k.b.configPath())
	k.log = &tail{}
	child.Stdout, child.Stderr = k.log, k.log
	if k.b.o.Log != nil {
		child.Args = append(child.Args, "--log-debug")
		all := io.MultiWriter(k.log, k.b.o.Log)
		child.Stdout, child.Stderr = all, all
	}
	// A bench that is killed takes its agent with it; Ctrl-C reaches the bench
	// alone, which then ends the agent in order.
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := child.Start(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	ended := make(chan struct{})
	k.child, k.ended = child, ended
	go func() {
		_ = child.Wait()
		close(ended)
		k.b.facts.add(Fact{Kind: "agent", State: "ended"})
	}()
	return nil
}

func (k *childKiosk) running() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.child == nil {
		return false
	}
	select {
	case <-k.ended:
		return false
	default:
		return true
	}
}

func (k *childKiosk) kill() error { return k.end(syscall.SIGKILL) }
func (k *childKiosk) stop() error { return k.end(syscall.SIGTERM) }

func (k *childKiosk) end(s syscall.Signal) error {
	if !k.running() {
		return nil
	}
	_ = k.child.Process.Signal(s)
	select {
	case <-k.ended:
		return nil
	case <-time.After(10 * time.Second):
		_ = k.child.Process.Kill()
		<-k.ended
		return fmt.Errorf("the agent did not end within ten seconds of being told: %s", k.words())
	}
}

func (k *childKiosk) words() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.log == nil {
		return "it was not started"
	}
	return k.log.String()
}

// pid is the agent's process.
func (k *childKiosk) pid() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.child.Process.Pid
}

// tail keeps the end of what the agent logs.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 8 << 10

// Write keeps the last 8 kB.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > tailBytes {
		t.buf = bytes.Clone(t.buf[len(t.buf)-tailBytes:])
	}
	return len(p), nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}

// memoryKiosk is the agent in this process, under virtual time.
type memoryKiosk struct {
	b *Bench

	mu      sync.Mutex
	control *backend.MemoryListener
	cancel  context.CancelFunc
	ended   chan error
	log     *tail
}

func (k *memoryKiosk) start() error {
	config, err := configs.Load(k.b.configPath())
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log = &tail{}
	k.control = backend.NewMemoryListener()
	wall := func() time.Time { return time.Now().Add(time.Duration(k.b.kioskOffset.Load())) }
	boot := func() time.Duration { return time.Since(k.b.began) + time.Duration(k.b.bootOffset.Load()) }
	whole, err := kiosk.New(config, kiosk.Env{
		Version: "memory", Wires: k.b.wires, Log: slog.New(slog.NewTextHandler(k.log, nil)),
		Clock: &clock.Clock{Wall: wall, Boot: boot, BootID: k.b.bootID()},
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return k.b.dialMemoryPlatform(ctx)
		},
	})
	if err != nil {
		return err
	}
	whole.Control = k.control
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel, k.ended = cancel, make(chan error, 1)
	go func() { k.ended <- whole.Run(ctx) }()
	return nil
}

func (k *memoryKiosk) stop() error {
	if !k.running() {
		return nil
	}
	k.cancel()
	err := <-k.ended
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cancel = nil
	return err
}

func (k *memoryKiosk) kill() error {
	return &errNotAvailable{"an agent in memory cannot be killed; the pty front can"}
}

func (k *memoryKiosk) running() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cancel != nil
}

func (k *memoryKiosk) words() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.log == nil {
		return "it was not started"
	}
	return k.log.String()
}

func (k *memoryKiosk) dialControl(ctx context.Context) (net.Conn, error) {
	k.mu.Lock()
	l := k.control
	k.mu.Unlock()
	if l == nil {
		return nil, errors.New("the agent was not started")
	}
	return l.Dial(ctx)
}
