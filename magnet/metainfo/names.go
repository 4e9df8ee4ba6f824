package metainfo

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
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
// bad says why there can be none.
func (sys system) component(s string) (safe, bad string) {
	if s == "" || s == "." {
		return "", ""
	}
	if bad = escapes(s); bad != "" {
		return "", bad
	}
	s = sys.replace(s)
	if sys == windows {
		// Win32 drops them silently, so that "a." would be "a".
		s = strings.TrimRight(s, ". ")
	}
	if s == "" || sys.reserved(s) {
		s = "_" + s
	}
	if len(s) > MaxName {
		s = shorten(s)
	}
	return s, ""
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

// replace puts "_" for every character that no name should hold.
func (sys system) replace(s string) string {
	bad := func(i int, r rune) bool {
		return sys.bad(r) ||
			r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) || // a byte that is not UTF-8
			i == 1 && r == ':' && isLetter(s[0]) // a drive
	}
	for i, r := range s {
		if !bad(i, r) {
			continue
		}
		var b strings.Builder
		b.WriteString(s[:i])
		for j, r := range s[i:] {
			if bad(i+j, r) {
				r = '_'
			}
			b.WriteRune(r)
		}
		return b.String()
	}
	return s
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

// literal is the path as the torrent spells it, if that is not safe, and this
// system can hold a file of that name all the same; otherwise nil.
func (sys system) literal(raw, safe []string) []string {
	if sys == windows {
		return nil // it would drop or read as syntax what we replaced
	}
	out := slices.DeleteFunc(slices.Clone(raw), func(s string) bool { return s == "" || s == "." })
	if len(out) == 0 || slices.Equal(out, safe) {
		return nil
	}
	for _, s := range out {
		if strings.ContainsAny(s, "/\x00") || len(s) > MaxName {
			return nil
		}
	}
	return out
}

// joined is a path for people.
func joined(path []string) string { return strings.Join(path, "/") }
