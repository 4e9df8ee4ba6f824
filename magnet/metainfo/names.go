package metainfo

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// system is what the names of files may be made of.
type system bool

const (
	unix    system = false
	windows system = true
)

// component is the safe name for one component of a path; "" is none at all.
func (sys system) component(field, s string) (string, error) {
	if s == "" || s == "." {
		return "", nil
	}
	if reason := escapes(s); reason != "" {
		return "", &Error{Field: field, Part: s, Reason: reason}
	}
	s = sys.replace(s)
	if len(s) > MaxName {
		s = shorten(s)
	}
	if sys == windows {
		// CreateFile drops them silently, so that "a." would be "a".
		if s = strings.TrimRight(s, ". "); s == "" {
			s = "_"
		}
	}
	if sys.reserved(s) {
		s = "_" + s
	}
	return s, nil
}

// escapes says how a component leads out of its directory; "" if it does not.
func escapes(s string) string {
	for part := range strings.FieldsFuncSeq(s, isSeparator) {
		if part == ".." {
			return "leads out of the torrent's directory"
		}
	}
	if isSeparator(rune(s[0])) {
		return "is an absolute path"
	}
	if len(s) >= 2 && s[1] == ':' && isLetter(s[0]) && (len(s) == 2 || isSeparator(rune(s[2]))) {
		return "is an absolute path on a drive"
	}
	return ""
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// replace puts "_" for what no name should hold.
func (sys system) replace(s string) string {
	clean := true
	for i, r := range s {
		if sys.bad(r) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") || i == 1 && r == ':' && isLetter(s[0]) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case sys.bad(r), i == 1 && r == ':' && isLetter(s[0]):
			b.WriteByte('_')
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			b.WriteByte('_')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// bad reports whether r may not be in a name.
func (sys system) bad(r rune) bool {
	switch {
	case r < 0x20, 0x7f <= r && r < 0xa0:
		return true // C0, DEL and C1 controls
	case isSeparator(r):
		return true
	case r == 0x2028, r == 0x2029:
		return true // line and paragraph separator
	case 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		// Embeddings, overrides and isolates of writing direction, which let
		// "gpj.exe" be shown as "exe.jpg".
		return true
	case r < 0x80:
		return sys == windows && strings.ContainsRune(`<>:"|?*`, r)
	}
	return false
}

// devices are the names that Windows takes for devices.
var devices = map[string]bool{
	"CON": true, "PRN": true, "AUX": true, "NUL": true, "CONIN$": true, "CONOUT$": true, "CLOCK$": true,
	"COM0": true, "COM1": true, "COM2": true, "COM3": true, "COM4": true, "COM5": true, "COM6": true, "COM7": true,
	"COM8": true, "COM9": true, "COM¹": true, "COM²": true, "COM³": true,
	"LPT0": true, "LPT1": true, "LPT2": true, "LPT3": true, "LPT4": true, "LPT5": true, "LPT6": true, "LPT7": true,
	"LPT8": true, "LPT9": true, "LPT¹": true, "LPT²": true, "LPT³": true,
}

// reserved reports whether s names a device. With an extension ("aux.c") that
// is so on some versions of Windows only, and source trees have such files.
func (sys system) reserved(s string) bool {
	if sys == windows {
		s, _, _ = strings.Cut(s, ".")
		s = strings.TrimRight(s, " ")
	}
	return len(s) <= 7 && devices[strings.ToUpper(s)]
}

// shorten cuts a name that is too long, keeps its extension, and puts in a
// part of the whole name's hash so that long names with one beginning differ.
func shorten(s string) string {
	sum := sha1.Sum([]byte(s))
	tail := "~" + hex.EncodeToString(sum[:4])
	if dot := strings.LastIndexByte(s, '.'); dot > len(s)-16 {
		tail += s[dot:]
	}
	cut := MaxName - len(tail)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + tail
}

// literal is the path as the torrent spells it if this system can hold a file
// of that name, and nil if not.
func (sys system) literal(path []string) []string {
	if sys == windows {
		return nil // it would drop or read as syntax what we replaced
	}
	out := make([]string, 0, len(path))
	for _, s := range path {
		if s == "" || s == "." {
			continue
		}
		if strings.ContainsAny(s, "/\x00") || len(s) > MaxName {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// joined is a path for people.
func joined(path []string) string { return strings.Join(path, "/") }
