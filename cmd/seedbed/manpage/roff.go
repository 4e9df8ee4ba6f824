package manpage

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A page is a manual page in roff, with the macros of man(7).
type page struct{ strings.Builder }

// newPage returns a page with its header. section is the section of the manual.
func newPage(name string, section int, date time.Time, source string) *page {
	p := &page{}
	fmt.Fprintf(p, ".TH %s %d %s %s %s\n", quote(strings.ToUpper(name)), section, date.Format(time.DateOnly), quote(source), quote("seedbed manual"))
	return p
}

func (p *page) section(title string) { fmt.Fprintf(p, ".SH %s\n", quote(title)) }

// text writes one line of running text.
func (p *page) text(s string) { p.WriteString(escape(s) + "\n") }

// item writes an item of a list: tag is in bold, words of tag in capital letters in italics.
func (p *page) item(tag, text string) {
	p.WriteString(".TP\n" + placeholders(tag) + "\n" + markdown(text) + "\n")
}

// literal writes lines that keep their breaks and blanks.
func (p *page) literal(lines []string) {
	p.WriteString(".nf\n")
	for _, line := range lines {
		p.text(strings.ReplaceAll(line, "\t", "    "))
	}
	p.WriteString(".fi\n")
}

// prose writes a help text: paragraphs, and blocks of indented lines, which keep their breaks.
func (p *page) prose(text string) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for rest := lines; len(rest) > 0; {
		n := run(rest)
		switch {
		case rest[0] == "":
			p.WriteString(".PP\n")
		case isIndented(rest[0]):
			p.literal(rest[:n])
		default:
			for _, line := range rest[:n] {
				p.text(line)
			}
		}
		rest = rest[n:]
	}
}

// run returns how many of the first lines are alike: empty, indented or not.
func run(lines []string) int {
	for i, line := range lines {
		if (line == "") != (lines[0] == "") || isIndented(line) != isIndented(lines[0]) {
			return i
		}
	}
	return len(lines)
}

func isIndented(line string) bool {
	return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
}

// escape returns s as roff text. A plain "-" would become a hyphen, which cannot be copied as a
// flag, and a dot or a quote at the beginning of a line would be a request.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// quote returns s as one argument of a macro.
func quote(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }

var (
	code        = regexp.MustCompile("`([^`]*)`")
	link        = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	placeholder = regexp.MustCompile(`\b[A-Z][A-Z0-9:]*\b`)
)

// markdown returns a text of the manual as one line of roff: code is in bold.
func markdown(s string) string {
	s = link.ReplaceAllString(s, "$1")
	return bold(s, code)
}

// bold sets the first group of every match of r in bold.
func bold(s string, r *regexp.Regexp) string {
	var b strings.Builder
	end := 0
	for _, m := range r.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(escape(s[end:m[0]]) + `\fB` + escape(s[m[2]:m[3]]) + `\fR`)
		end = m[1]
	}
	b.WriteString(escape(s[end:]))
	return b.String()
}

// placeholders sets s in bold and the words that stand for something, in capital letters, in italics.
func placeholders(s string) string {
	return `\fB` + placeholder.ReplaceAllString(escape(s), `\fI$0\fB`) + `\fR`
}
