package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/agent/catalogue"
	"github.com/digital-sentinel/sentinel/agent/checkin"
	"github.com/digital-sentinel/sentinel/agent/policy"
)

func (c *command) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "policy", Short: "the rules by which visitors are let in", Example: "  sentinel policy check public-place.yaml",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.policyCheck(), c.policyExplain())
	return cmd
}

func (c *command) policyCheck() *cobra.Command {
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use:   "check FILE…",
		Short: "say what policies mean, or everything that is wrong with them",
		Long: `check reads each policy file strictly. Of a good one it prints the rules as a
table that a manager can read, every example with its outcome, and warnings; of
a bad one every reason at once, with its line.

Exit code 0: all are good; 1: one is refused, or cannot be read; 2: the command
line is wrong.`,
		Example: "  sentinel policy check public-place.yaml\n  sentinel policy check --lang zh *.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			l, err := language(lang)
			if err != nil {
				return err
			}
			return c.checkPolicies(files, l, asJSON)
		},
	}
	cmd.Flags().StringVar(&lang, "lang", "en", "language of the table: zh or en")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array with one object for each file")
	return cmd
}

func language(name string) (policy.Lang, error) {
	switch name {
	case "zh":
		return policy.Zh, nil
	case "en":
		return policy.En, nil
	}
	return policy.En, &usageError{fmt.Errorf("--lang %s: it speaks zh and en", printable(name))}
}

func (c *command) checkPolicies(files []string, l policy.Lang, asJSON bool) error {
	facts, bad := []policyFacts{}, false
	for i, file := range files {
		sheet, err := readPolicy(file)
		bad = bad || err != nil
		facts = append(facts, newFacts(file, sheet, err, l))
		switch {
		case asJSON:
		case err != nil:
			c.printf("%s\n", err.Error())
		default:
			if i > 0 {
				c.printf("\n")
			}
			c.printSheet(sheet, l)
		}
	}
	if asJSON {
		if err := printJSON(c, facts); err != nil {
			return err
		}
	}
	if bad {
		return errFailed
	}
	return nil
}

// readPolicy reads a file, and no more of it than a policy may have.
func readPolicy(file string) (*policy.Sheet, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading a policy: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, policy.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading a policy: %w", err)
	}
	return policy.Read(data, file)
}

// printSheet prints what a policy means.
func (c *command) printSheet(s *policy.Sheet, l policy.Lang) {
	p := s.Policy
	c.printf("%s %s: %s\n\n", p.ID, fmt.Sprint(p.Version), title(s, l))
	c.printf("%s", ruleTable(p, l))
	if len(s.Cases) > 0 {
		c.printf("\n%s\n", [2]string{"示例", "examples"}[l])
	}
	var rows [][]string
	for i := range s.Cases {
		rows = append(rows, caseRow(&s.Cases[i], l))
	}
	c.printf("%s", table(rows, []int{60, 8, 60}))
	for i, w := range s.Warnings {
		if i == 0 {
			c.printf("\n")
		}
		c.printf("%s: %s\n", [2]string{"注意", "warning"}[l], w)
	}
}

func title(s *policy.Sheet, l policy.Lang) string {
	if l == policy.Zh {
		return printable(s.Zh)
	}
	return printable(s.En)
}

// ruleTable is the rules as a manager reads them.
func ruleTable(p *checkin.Policy, l policy.Lang) string {
	rows := [][]string{
		{[2]string{"规则", "rule"}[l], [2]string{"何时", "when"}[l], [2]string{"状态不超过", "status up to"}[l],
			[2]string{"结果", "outcome"}[l], [2]string{"原因", "reason"}[l]},
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		rows = append(rows, []string{r.ID, l.When(r), l.Age(r), l.Outcome(r), reasonWords(r.Reason, l)})
	}
	return table(rows, []int{24, 44, 12, 17, 48})
}

// reasonWords is what a visitor reads.
func reasonWords(r checkin.Reason, l policy.Lang) string {
	entry, ok := catalogue.Get(string(r))
	if !ok {
		return string(r)
	}
	return entry.Text[l]
}

func caseRow(x *policy.Case, l policy.Lang) []string {
	by := [2]string{"没有规则适用", "no rule"}[l]
	if x.Verdict.Rule != "" {
		by = x.Verdict.Rule
	}
	if string(x.Verdict.Reason) != by {
		by = fmt.Sprintf("%s (%s)", x.Verdict.Reason, by)
	}
	return []string{printable(x.Name), l.Say("outcome", string(x.Verdict.Outcome)), by}
}

// policyFacts is a checked file as JSON.
type policyFacts struct {
	File     string      `json:"file"`
	Good     bool        `json:"good"`
	Problems []string    `json:"problems"` // each with file and line
	ID       string      `json:"id,omitempty"`
	Version  int         `json:"version,omitempty"`
	Title    string      `json:"title,omitempty"`
	Rules    []ruleFacts `json:"rules"`
	Examples []caseFacts `json:"examples"`
	Warnings []string    `json:"warnings"`
}

type ruleFacts struct {
	ID      string          `json:"id"`
	When    string          `json:"when"`
	MaxAge  string          `json:"max_age,omitempty"`
	Outcome checkin.Outcome `json:"outcome"`
	Report  bool            `json:"report"`
	Reason  checkin.Reason  `json:"reason"`
	Text    string          `json:"text"`
}

type caseFacts struct {
	Name    string          `json:"name"`
	Outcome checkin.Outcome `json:"outcome"`
	Reason  checkin.Reason  `json:"reason"`
	Rule    string          `json:"rule,omitempty"`
	Report  bool            `json:"report"`
}

func newFacts(file string, s *policy.Sheet, err error, l policy.Lang) policyFacts {
	f := policyFacts{File: file, Good: err == nil, Problems: []string{}, Rules: []ruleFacts{}, Examples: []caseFacts{}, Warnings: []string{}}
	if err != nil {
		f.Problems = strings.Split(err.Error(), "\n")
		return f
	}
	p := s.Policy
	f.ID, f.Version, f.Title, f.Warnings = p.ID, p.Version, title(s, l), append(f.Warnings, s.Warnings...)
	for i := range p.Rules {
		r := &p.Rules[i]
		rule := ruleFacts{r.ID, l.When(r), "", r.Outcome, r.Report, r.Reason, reasonWords(r.Reason, l)}
		if r.MaxAge > 0 {
			rule.MaxAge = r.MaxAge.String()
		}
		f.Rules = append(f.Rules, rule)
	}
	for _, x := range s.Cases {
		f.Examples = append(f.Examples, caseFacts{x.Name, x.Verdict.Outcome, x.Verdict.Reason, x.Verdict.Rule, x.Verdict.Report})
	}
	return f
}
