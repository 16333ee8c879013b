package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
	"github.com/digital-sentinel/sentinel/configs/policies"
)

func (c *command) policyExplain() *cobra.Command {
	var record, file, lang string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain --record FILE",
		Short: "decide a stored record again, and say why",
		Long: `explain reads a stored record, or several, one after the other, decides each
again with the policy of its id and version, and says of every rule why it did
or did not decide. The policy is a shipped one, or that of --policy. Nothing in a
record's event names the person, and its sealed identity is not touched.

A record that holds no verdict (a passage, a call, a guard who opened) is passed
over.

Exit code 0: every verdict is the same as then; 1: one is another, or could not
be made again; 2: the command line is wrong.`,
		Example: "  sentinel policy explain --record record.json\n  sentinel policy explain --record - --policy office.yaml <records.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := language(lang)
			if err != nil {
				return err
			}
			if record == "" {
				return &usageError{errors.New("sentinel policy explain: which record? --record FILE")}
			}
			return c.explainRecords(&explainer{file: file, lang: l, json: asJSON}, record)
		},
	}
	cmd.Flags().StringVar(&record, "record", "", "file of records as JSON objects; - is standard input")
	cmd.Flags().StringVar(&file, "policy", "", "policy file; left out: the shipped one of the record's id and version")
	cmd.Flags().StringVar(&lang, "lang", "en", "language: zh or en")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array with one object for each verdict")
	return cmd
}

// explainer is what explain needs for each record.
type explainer struct {
	file  string // of --policy
	lang  policy.Lang
	json  bool
	given *checkin.Policy
}

// explained is one verdict made again.
type explained struct {
	UUID    string      `json:"uuid"`
	Kind    string      `json:"kind"`
	Same    bool        `json:"same"`
	Then    verdictTold `json:"then"`
	Now     verdictTold `json:"now"`
	Differs []string    `json:"differs"`
	Known   string      `json:"known"`
	Steps   []stepTold  `json:"steps"`
}

// verdictTold is as much of a verdict as a record holds.
type verdictTold struct {
	Outcome checkin.Outcome `json:"outcome"`
	Reason  checkin.Reason  `json:"reason"`
	Rule    string          `json:"rule"`
	Policy  string          `json:"policy"`
	Version int             `json:"policy_version"`
	Mode    checkin.Mode    `json:"mode"`
}

type stepTold struct {
	Rule string      `json:"rule,omitempty"`
	How  checkin.How `json:"how"`
	Key  string      `json:"key,omitempty"`
	Text string      `json:"text"`
}

func (c *command) explainRecords(x *explainer, path string) error {
	in := c.env.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("reading records: %w", err)
		}
		defer f.Close()
		in = f
	}
	if x.file != "" {
		sheet, err := readPolicy(x.file)
		if err != nil {
			return err
		}
		x.given = sheet.Policy
	}
	all, same, told := json.NewDecoder(in), true, []explained{}
	for n := 1; ; n++ {
		var raw json.RawMessage
		err := all.Decode(&raw)
		if errors.Is(err, io.EOF) && n > 1 {
			break
		}
		if err != nil {
			return fmt.Errorf("record %d cannot be read: %w", n, err)
		}
		e, err := x.explain(raw)
		switch {
		case err != nil:
			return fmt.Errorf("record %d: %w", n, err)
		case e.Steps == nil && !x.json:
			c.printf("%s %s: %s\n", printable(e.Kind), printable(e.UUID), [2]string{"其中没有判定", "there is no verdict in it"}[x.lang])
		case e.Steps != nil:
			same, told = same && e.Same, append(told, e)
		}
		if e.Steps != nil && !x.json {
			c.printExplained(&e, x.lang)
		}
	}
	if x.json {
		if err := printJSON(c, told); err != nil {
			return err
		}
	}
	if !same {
		return errFailed
	}
	return nil
}

// explain decides one record again. Without a verdict in it there are no steps.
func (x *explainer) explain(raw []byte) (explained, error) {
	r, err := checkin.DecodeRecord(raw)
	if err != nil {
		return explained{}, err
	}
	d := r.Event.Verdict
	told := explained{UUID: r.Event.UUID, Kind: string(r.Event.Kind), Differs: []string{}}
	if d == nil {
		return told, nil
	}
	p, err := x.policyOf(d)
	if err != nil {
		return explained{}, err
	}
	e := d.Evidence()
	steps := checkin.Explain(p, checkin.VenueClass(d.Class), &e)
	v := steps[len(steps)-1].Verdict
	told.Then = verdictTold{d.Outcome, d.Reason, d.Rule, d.Policy, d.PolicyVersion, d.Mode}
	told.Now = verdictTold{v.Outcome, v.Reason, v.Rule, v.Policy, v.Version, v.Mode}
	told.Same, told.Known = told.Then == told.Now, x.lang.Known(&e)
	told.Differs = append(told.Differs, differences(told.Then, told.Now, x.lang)...)
	for i, s := range steps {
		text := endWords(s.How, x.lang)
		if s.Rule != "" {
			text = x.lang.Step(&p.Rules[i], s)
		}
		told.Steps = append(told.Steps, stepTold{s.Rule, s.How, s.Key, text})
	}
	return told, nil
}

// policyOf is the policy to decide d with.
func (x *explainer) policyOf(d *checkin.Decision) (*checkin.Policy, error) {
	if x.given != nil {
		return x.given, nil
	}
	data, err := policies.Files.ReadFile(d.Policy + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("it was decided by policy %q, which is not shipped: give it with --policy", d.Policy)
	}
	p, err := policy.Parse(data, d.Policy+".yaml")
	if err == nil && p.Version != d.PolicyVersion {
		err = fmt.Errorf("it was decided by version %d of %s, and version %d is shipped: give the old one with --policy", d.PolicyVersion, d.Policy, p.Version)
	}
	return p, err
}

// endWords tell of the steps that are no rule.
func endWords(how checkin.How, l policy.Lang) string {
	if how == checkin.ByCredential {
		return [2]string{"所出示的凭证或人工意见已决定，不看规则", "what was presented, or a guard, decides before any rule"}[l]
	}
	return [2]string{"没有规则适用，转人工", "no rule decides: a person must look"}[l]
}

// differences tell what is not as it was.
func differences(then, now verdictTold, l policy.Lang) []string {
	var all []string
	for _, f := range [][3]string{
		{"outcome", string(then.Outcome), string(now.Outcome)},
		{"reason", string(then.Reason), string(now.Reason)},
		{"rule", then.Rule, now.Rule},
		{"policy", then.Policy, now.Policy},
		{"policy_version", fmt.Sprint(then.Version), fmt.Sprint(now.Version)},
		{"mode", string(then.Mode), string(now.Mode)},
	} {
		if f[1] != f[2] {
			all = append(all, fmt.Sprintf([2]string{"%s 当时是 %q，现在是 %q", "%s was %q, is %q now"}[l], f[0], f[1], f[2]))
		}
	}
	return all
}

func (c *command) printExplained(e *explained, l policy.Lang) {
	c.printf("%s %s\n", printable(e.Kind), printable(e.UUID))
	c.printf("%s: %s\n", [2]string{"已知", "known"}[l], printable(e.Known))
	var rows [][]string
	for _, s := range e.Steps {
		rows = append(rows, []string{"", s.Rule, s.Text})
	}
	c.printf("%s", table(rows, []int{0, 24, 72}))
	rule := e.Now.Rule
	if rule == "" {
		rule = [2]string{"无规则", "no rule"}[l]
	}
	c.printf("%s: %s %s (%s, %s %s)\n", [2]string{"判定", "verdict"}[l],
		l.Say("outcome", string(e.Now.Outcome)), string(e.Now.Reason), rule, e.Now.Policy, fmt.Sprint(e.Now.Version))
	if e.Same {
		c.printf("%s\n\n", [2]string{"与当时一致", "the same as then"}[l])
		return
	}
	c.printf("%s: %s\n\n", [2]string{"与当时不同", "not the same as then"}[l], printable(strings.Join(e.Differs, "; ")))
}
