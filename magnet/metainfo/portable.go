package metainfo

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// NameProblem returns why a name of a file or folder is not valid on every system, as the
// end of a sentence, or "" if it is valid.
func NameProblem(name string) string {
	if !utf8.ValidString(name) {
		return "is not valid UTF-8, which torrents require"
	}
	if component(name) != name {
		return "contains a character that other clients replace"
	}
	if dosName(name) != name {
		return "is not allowed on Windows"
	}
	if !norm.NFC.IsNormalString(name) {
		return "contains decomposed accents, which other systems may compose"
	}
	return ""
}

// Composed returns the name with composed accents (Unicode's NFC), the form that most
// systems produce for typed text.
func Composed(name string) string { return norm.NFC.String(name) }
