// Package manpage writes the manual pages of the command line, in roff with the macros of man(7).
//
// The pages are made from the commands and the settings: there is one for every command and help
// topic, and seedbed-config(5) for the settings file.
package manpage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
)

// Sections of the manual.
const (
	commands = 1
	formats  = 5
	topics   = 7
)

// A Book is the manual pages of one release.
type Book struct {
	Root   *cobra.Command
	Date   time.Time // of the release
	Source string    // name and version of the program
}

// Write writes the pages into the folder dir, which it makes if it does not exist: NAME.SECTION.
func (b *Book) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	pages := map[string]string{"seedbed-config.5": b.config()}
	for _, cmd := range append(listed(b.Root), b.Root) {
		pages[fmt.Sprintf("%s.%d", name(cmd), sectionOf(cmd))] = b.command(cmd)
	}
	for file, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// listed returns the commands and topics below cmd that have a page.
func listed(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range children(cmd) {
		all = append(append(all, c), listed(c)...)
	}
	return all
}

func children(cmd *cobra.Command) []*cobra.Command {
	return slices.DeleteFunc(slices.Clone(cmd.Commands()), func(c *cobra.Command) bool {
		return c.Hidden || !c.IsAvailableCommand() && !c.IsAdditionalHelpTopicCommand()
	})
}

func name(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func sectionOf(cmd *cobra.Command) int {
	if cmd.IsAdditionalHelpTopicCommand() {
		return topics
	}
	return commands
}

func (b *Book) begin(name string, section int, title string) *page {
	p := newPage(name, section, b.Date, b.Source)
	p.section("NAME")
	p.WriteString(escape(name) + ` \- ` + escape(title) + "\n")
	return p
}

// command returns the page of a command or topic.
func (b *Book) command(cmd *cobra.Command) string {
	isTopic := sectionOf(cmd) == topics
	p := b.begin(name(cmd), sectionOf(cmd), cmd.Short)
	if !isTopic {
		p.section("SYNOPSIS")
		p.WriteString(placeholders(use(cmd)+" [flags]") + "\n")
	}
	p.section("DESCRIPTION")
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	p.prose(text)
	if cmd.HasAvailableSubCommands() {
		p.section("COMMANDS")
		for _, c := range children(cmd) {
			if sectionOf(c) == commands {
				p.item(use(c), c.Short)
			}
		}
	}
	if !isTopic {
		all := func(*pflag.Flag) bool { return true }
		p.flags("OPTIONS", cmd.NonInheritedFlags(), all, settings.Spelling)
		p.flags("OPTIONS OF ALL COMMANDS", cmd.InheritedFlags(), all, settings.Spelling)
	}
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.literal(strings.Split(strings.Trim(cmd.Example, "\n"), "\n"))
	}
	p.section("SEE ALSO")
	p.text(strings.Join(related(cmd), ", "))
	return p.String()
}

// use returns how a command is called, without flags.
func use(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return strings.TrimSuffix(cmd.UseLine(), " [flags]")
}

// related returns the pages that belong to the one of a command.
func related(cmd *cobra.Command) (pages []string) {
	if cmd.HasParent() {
		pages = append(pages, ref(cmd.Parent()))
	}
	for _, c := range children(cmd) {
		pages = append(pages, ref(c))
	}
	return append(pages, "seedbed-config(5)")
}

func ref(cmd *cobra.Command) string { return fmt.Sprintf("%s(%d)", name(cmd), sectionOf(cmd)) }

// flags writes a section with the flags that are wanted, if there are any. tag returns the name of a
// flag with a placeholder for its value.
func (p *page) flags(title string, fs *pflag.FlagSet, wanted func(*pflag.Flag) bool, tag func(*pflag.Flag) string) {
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || !wanted(f) {
			return
		}
		if title != "" {
			p.section(title)
			title = ""
		}
		p.item(tag(f), settings.Meaning(f))
	})
}

// key returns the key of a flag in the settings file.
func key(f *pflag.Flag) string {
	arg, _ := pflag.UnquoteUsage(f)
	if f.NoOptDefVal != "" {
		arg = "true|false"
	}
	return f.Name + " = " + arg
}

// config returns the page of the settings file.
func (b *Book) config() string {
	p := b.begin("seedbed-config", formats, "the settings file of seedbed")
	p.section("DESCRIPTION")
	p.prose(`The settings file is TOML. The keys at the top are settings of a node, with the names of the
flags. A table with the name of a command holds flags of that command, whether or not they are
settings. An unknown key is an error. seedbed reads the file and never writes it.

A setting comes from the command line, or else from the environment (SEEDBED_NO_DHT=true for
no-dht), the settings file, or the default. What seedbed settings set or another client changes
while a daemon runs is kept in its state directory, and holds until the value in the file changes.

A daemon reads the file again at SIGHUP.`)
	find := func(command string) *pflag.FlagSet {
		cmd, _, err := b.Root.Find([]string{command})
		if err != nil {
			panic(err) // there is no such command
		}
		return cmd.NonInheritedFlags()
	}
	p.flags("SETTINGS OF A NODE", find("settings"), settings.IsSetting, key)
	p.flags("THE TABLE [daemon]", find("daemon"), func(f *pflag.Flag) bool { return !settings.IsSetting(f) && f.Name != "help" }, key)
	p.section("FILES")
	p.item("~/.config/seedbed/config.toml", "the settings of a user's commands and daemon")
	p.item("/etc/seedbed/config.toml", "the settings of the system's daemon, where seedbed is installed from a package")
	p.section("EXAMPLES")
	p.literal([]string{`up-limit = "2M/s"`, `no-dht = false`, ``, `[daemon]`, `dir = "/srv/torrents"`, `allow-path = ["/srv/films"]`})
	p.section("SEE ALSO")
	p.text("seedbed-settings(1), seedbed-daemon(1)")
	return p.String()
}
