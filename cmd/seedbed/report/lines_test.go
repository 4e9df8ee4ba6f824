package report

import "testing"

func TestLinesAreBrokenAtBlanks(t *testing.T) {
	for in, want := range map[string]string{
		"short\n":                                             "short\n",
		"this line is longer than that\n":                     "this line is longer\nthan that\n",
		"exactly twenty chars":                                "exactly twenty chars",
		"  an indent stays, here too\nnext\n":                 "  an indent stays,\n  here too\nnext\n",
		"see magnet:?xt=urn:btih:0123456789abcdef and more\n": "see\nmagnet:?xt=urn:btih:0123456789abcdef\nand more\n",
		"\x1b[31mthis red line\x1b[0m is 20 c\n":              "\x1b[31mthis red line\x1b[0m is 20\nc\n",
		"名字名字名字名字 名字\n":                                       "名字名字名字名字\n名字\n", // each is two columns wide
	} {
		if got := wrapLines(in, 20); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
}
