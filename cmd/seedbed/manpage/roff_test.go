package manpage

import "testing"

// What has a meaning in roff stays as it is written.
func TestTextIsEscaped(t *testing.T) {
	for text, want := range map[string]string{
		`C:\Users`:                  `C:\eUsers`,
		`.torrent files`:            `\&.torrent files`,
		`'tis "quoted"`:             `\(aqtis "quoted"`,
		`see --dir and ~/.config`:   `see \-\-dir and \(ti/.config`,
		"`DIR` of [a](b.md#c), `-`": `\fBDIR\fR of a, \fB\-\fR`,
	} {
		if got := markdown(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	if got, want := quote(`a "b" \c`), `"a \(dqb\(dq \ec"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := placeholders("-d, --dir DIR"), `\fB\-d, \-\-dir \fIDIR\fB\fR`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Indented lines keep their breaks, and paragraphs are apart.
func TestProse(t *testing.T) {
	p := &page{}
	p.prose("One\ntwo.\n\nThree:\n   a  b\n\tc\nfour.\n")
	const want = "One\ntwo.\n.PP\nThree:\n.nf\n   a  b\n    c\n.fi\nfour.\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
