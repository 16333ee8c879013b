package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/simulator"
	"github.com/digital-sentinel/sentinel/simulator/backend"
)

// backendOpts is a platform that runs by itself.
type backendOpts struct {
	store, listen, dir string
	kiosks, hosts      []string
	recipients         []string
	width              int
}

func backendCommand() *cobra.Command {
	o := &backendOpts{}
	cmd := &cobra.Command{
		Use:   "backend",
		Short: "run the reference platform by itself, on one box",
		Long: `backend runs the reference platform until Ctrl-C: it answers kiosks over HTTP/2
with mutual TLS, and keeps every record once, for ever, on the disk before it
says so. The first start makes a folder with all keys, and for each --kiosk a
folder with everything that this kiosk is given; it prints what belongs into
the kiosk's configuration.

A batch that would wait for more than two seconds is refused before it is read,
and its kiosk told when to come again; live records have a lane of their own.

The people it knows are four synthetic ones, and new at every start. Whoever
runs the program may ask it at the same time:

  backend who      who was at a venue between two times, sealed to the authority
  backend counts   how many came, by hour, lane and verdict, without anybody's identity
  backend audit    who has asked what, checked for changes`,
		Example: `  sentinel-sim backend --store bolt:platform.db --dir platform --kiosk turnstile-01
  sentinel-sim backend --store bolt:platform.db --listen 0.0.0.0:8443 --host platform.example --kiosk lane-1 --kiosk lane-2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().StringVar(&o.store, "store", "", "bolt:PATH, or memory (default bolt:platform.db in the folder of --dir)")
	cmd.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8443", "address to listen at; port 0 is a free one")
	cmd.Flags().StringVar(&o.dir, "dir", "platform", "folder of the keys, made at the first start")
	cmd.Flags().StringArrayVar(&o.kiosks, "kiosk", nil, "make a certificate for the kiosk of this id, if it has none; may be repeated")
	cmd.Flags().StringArrayVar(&o.hosts, "host", nil, "a name or address, beside localhost, under which kiosks reach the platform; may be repeated")
	cmd.Flags().StringSliceVar(&o.recipients, "recipients", simulator.Recipients(), "whom it receives reports for")
	cmd.Flags().IntVar(&o.width, "width", 0, "batches served at a time (default 16)")
	cmd.AddCommand(whoCommand(), countsCommand(), auditCommand())
	return cmd
}

func (o *backendOpts) run(ctx context.Context, out io.Writer) (err error) {
	keys, made, err := backend.OpenInstallation(o.dir, o.hosts, time.Now())
	if err != nil {
		return err
	}
	folders, err := o.giveKiosks(keys)
	if err != nil {
		return err
	}
	if o.store == "" {
		o.store = "bolt:" + filepath.Join(o.dir, "platform.db")
	}
	store, err := backend.OpenStore(o.store)
	if errors.Is(err, backend.ErrLocked) {
		return fmt.Errorf("%w: a platform runs on it already; stop that one, or give this one another --store", err)
	}
	if err != nil {
		return fmt.Errorf("%w; see --store", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --listen", err)
	}
	platform := backend.New(backend.Opts{Key: keys.Statement, KeyID: keys.KeyID, Now: time.Now, Store: store, Recipients: o.recipients})
	for _, p := range neighbours(time.Now()) {
		platform.SetPerson(p)
	}
	admission := backend.NewAdmission(backend.AdmissionOpts{Width: o.width})
	server := &backend.Server{
		Handler: admission.Wrap(platform.Handler()), TLS: keys.ServerTLS(),
		Listen: func() (net.Listener, error) { return l, nil },
	}
	if err := server.Up(); err != nil {
		return err
	}
	defer server.Down()
	o.introduce(out, l.Addr().String(), made)
	o.tellKiosks(out, folders, l.Addr())
	return o.serve(ctx, out, store, admission)
}

// serve tells what comes, until ctx ends or the store has stopped.
func (o *backendOpts) serve(ctx context.Context, out io.Writer, store backend.Store, admission *backend.Admission) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if socket := backend.Socket(o.store); socket != "" {
			if err := backend.ServeOperator(ctx, backend.StoreDesk{Store: store}, socket); err != nil {
				fmt.Fprintln(out, "nobody can ask while the platform runs:", err)
			}
		}
	}()
	defer func() { cancel(); <-ended }()
	var failed <-chan struct{}
	if b, ok := store.(*backend.Bolt); ok {
		failed = b.Failed()
	}
	fmt.Fprint(out, "Ctrl-C ends it; what it has acknowledged stays.\n\n")
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for before := admission.Load(); ; {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out, "ending…")
			return nil
		case <-failed:
			return store.(*backend.Bolt).Err()
		case <-tick.C:
			if now := admission.Load(); now != before {
				fmt.Fprintf(out, "%s  %s\n", time.Now().Format(time.TimeOnly), busy(&now))
				before = now
			}
		}
	}
}

// busy tells the load in a line.
func busy(l *backend.Load) string {
	part := func(name string, l *backend.LaneLoad) string {
		mean := time.Duration(0)
		if l.Served > 0 {
			mean = (l.Queued / time.Duration(l.Served)).Round(time.Microsecond)
		}
		return fmt.Sprintf("%s: %d batches, %d refused, %d in vain, waited %v, at most %v", name, l.Served, l.Refused+l.Late, l.Wasted, mean, l.Longest.Round(time.Microsecond))
	}
	return part("live", &l.Live) + "; " + part("backlog", &l.Backlog)
}

func (o *backendOpts) introduce(out io.Writer, at string, made bool) {
	fmt.Fprintf(out, "digital sentinel %s: the platform is ready\n\n  listens at  https://%s, to kiosks with a certificate of its own authority\n  store       %s\n", version, at, o.store)
	if !made {
		fmt.Fprintf(out, "  keys        %s\n\n", o.dir)
		return
	}
	fmt.Fprintf(out, "  keys        %s, made just now\n\n%s opens the identities. The platform does not need it:\nmove it to where the authority is, and leave no copy here.\n\n",
		o.dir, filepath.Join(o.dir, backend.AuthorityFile))
}

// giveKiosks makes what kiosks are given, where it is missing, and says where.
func (o *backendOpts) giveKiosks(keys *backend.Installation) (folders []string, err error) {
	for _, name := range o.kiosks {
		folder, _, err := keys.GiveKiosk(name)
		if err != nil {
			return nil, err
		}
		if folder, err = filepath.Abs(folder); err != nil {
			return nil, err
		}
		folders = append(folders, folder)
	}
	return folders, nil
}

// tellKiosks prints what belongs into each kiosk's configuration.
func (o *backendOpts) tellKiosks(out io.Writer, folders []string, at net.Addr) {
	_, port, _ := net.SplitHostPort(at.String()) // a listener's address is one
	host := "localhost"
	if len(o.hosts) > 0 {
		host = o.hosts[0]
	}
	for i, folder := range folders {
		fmt.Fprintf(out, `Kiosk %s is given the files in %s.
In its configuration, with the paths where it has them:

device: %s
platform:
  urls: ["https://%s"]
  ca: %s/ca.pem
  certificate: %s/kiosk.pem
  key: %s/kiosk.key
  statement_keys: [%s/statement-1.pem]
records:
  recipient: %s/authority.age

`, o.kiosks[i], folder, o.kiosks[i], net.JoinHostPort(host, port), folder, folder, folder, folder, folder)
	}
	if len(folders) == 0 {
		fmt.Fprintln(out, "A kiosk gets its certificate by --kiosk NAME.")
	}
}

// neighbours are the people of the bench. All of them are synthetic.
func neighbours(now time.Time) []backend.Person {
	person := func(ref, name, number string, colour checkin.Colour, sampled time.Duration, host checkin.Consent) backend.Person {
		at := now.Add(-sampled)
		return backend.Person{Ref: ref, Name: name, Number: number, Colour: colour, NAT: checkin.Negative, Sampled: at, Reported: at, Host: host}
	}
	return []backend.Person{
		person("wang", "王小明", "11010519491231002X", checkin.Green, 12*time.Hour, checkin.HostYes),
		person("li", "李四", "53010219200508011X", checkin.Red, 12*time.Hour, checkin.HostNo),
		person("zhao", "赵六", "810000199408230021", checkin.Green, 50*time.Hour, checkin.HostSilent),
		person("chen", "陈奶奶", "110105194912310038", checkin.Green, 30*time.Hour, checkin.HostYes),
	}
}
