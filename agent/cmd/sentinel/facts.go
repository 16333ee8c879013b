package main

import (
	"fmt"
	"image"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/digital-sentinel/sentinel/configs"
	"github.com/digital-sentinel/sentinel/drivers/camqr"
	"github.com/digital-sentinel/sentinel/drivers/host"
)

func (c *command) version() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "which program this is",
		Example: "  sentinel version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return printJSON(c, map[string]string{
					"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
				})
			}
			c.printf("sentinel %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *command) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "the configuration", Example: "  sentinel config check sentinel.yaml", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(c.configCheck())
	return cmd
}

func (c *command) configCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "say everything that is wrong with a configuration",
		Long: `check reads a configuration strictly and reports every problem at once, each
with its line, the line itself, and the nearest known key. Devices and platform
are not touched: that is what "sentinel check" does.

Exit code 0: it is good; 1: it is not.`,
		Example: "  sentinel config check sentinel.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := c.config
			if len(args) == 1 {
				path = args[0]
			}
			return c.checkFile(path, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *command) checkFile(path string, asJSON bool) error {
	data, err := configs.Read(path)
	if err != nil {
		return err
	}
	_, problems := configs.Parse(data, path)
	if asJSON {
		if problems == nil {
			problems = []configs.Problem{}
		}
		err = printJSON(c, problems)
	}
	if len(problems) == 0 {
		if !asJSON {
			c.printf("%s: good\n", path)
		}
		return err
	}
	if !asJSON {
		for _, p := range problems {
			c.printf("%s\n", p.String())
		}
		if len(problems) > 1 {
			c.printf("%s problems\n", strconv.Itoa(len(problems)))
		}
	}
	return errFailed
}

func (c *command) devices() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "what is plugged in, as lines for the configuration",
		Long: `devices lists serial ports, I²C buses and GPIO chips of this machine as YAML to
paste under "devices:"; put in the driver of the module that hangs there.`,
		Example: "  sentinel devices",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			found := host.Devices()
			if asJSON {
				return printJSON(c, found)
			}
			c.printDevices(found)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (c *command) printDevices(found []host.Found) {
	if len(found) == 0 {
		c.printf("# nothing is plugged in that this program can see\n")
		return
	}
	c.printf("devices:\n")
	for _, f := range found {
		c.printf("  # %s\n  - driver: %s\n    address: %s\n", describeFound(f), likely(f), strconv.Quote(f.Address))
	}
}

// describeFound tells what is known of a wire.
func describeFound(f host.Found) string {
	var words []string
	for _, w := range []string{f.Node, f.Product, f.Label} {
		if w != "" {
			words = append(words, printable(w)) // a device names itself
		}
	}
	if f.VID != "" {
		words = append(words, f.VID+":"+f.PID)
	}
	if f.Lines > 0 {
		words = append(words, strconv.Itoa(f.Lines)+" lines; put the line's name or number for LINE")
	}
	return strings.Join(words, ", ")
}

// likely names the drivers that hang on such a wire; the operator knows which.
func likely(f host.Found) string {
	switch f.Kind {
	case host.I2C:
		return "mlx90614"
	case host.GPIO:
		return "relay"
	}
	return "gm65 # or linescan, sdt, syn6288, xfs5152, lcus"
}

// decoded is one code found in one file.
type decoded struct {
	File   string        `json:"file"`
	Text   string        `json:"text"`
	Points []image.Point `json:"points"`
}

func (c *command) decode() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "decode FILE…",
		Short: "print the codes in PNG and JPEG pictures",
		Long: `decode prints each code found in the pictures, one a line, the file's name
before it where there are several. Exit code 1: a file holds none, or cannot be
read.`,
		Example: "  sentinel decode photo.jpg\n  sentinel decode --json *.png",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			return c.decodeFiles(files, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of {file, text, points}")
	return cmd
}

func (c *command) decodeFiles(files []string, asJSON bool) error {
	all, empty := []decoded{}, false
	for _, file := range files {
		found, err := decodeFile(file)
		if err != nil {
			fmt.Fprintf(c.env.Stderr, "sentinel: %s: %v\n", file, err)
		}
		empty = empty || len(found) == 0
		for _, f := range found {
			all = append(all, decoded{file, f.Text, f.Points})
			switch {
			case asJSON:
			case len(files) > 1:
				c.printf("%s: %s\n", file, printable(f.Text))
			default:
				c.printf("%s\n", printable(f.Text))
			}
		}
	}
	if asJSON {
		if err := printJSON(c, all); err != nil {
			return err
		}
	}
	if empty {
		return errFailed
	}
	return nil
}

// printable quotes a text that could move a terminal's cursor.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

func decodeFile(path string) ([]camqr.Found, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := camqr.DecodeFile(f)
	if err == nil && len(found) == 0 {
		return nil, fmt.Errorf("no code is in the picture")
	}
	return found, err
}
