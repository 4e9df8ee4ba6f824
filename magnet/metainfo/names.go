package metainfo

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"
)

// component returns the safe name for a path component, the same on every system. It is
// empty if s denotes nothing below its directory: "", ".", "..", and these with
// separators, such as "/" and "../".
func component(s string) string {
	if namesNothing(s) {
		return ""
	}
	s = replace(strings.TrimLeftFunc(s, isSeparator), badAnywhere)
	if isDevice(s) {
		s = "_" + s
	}
	if len(s) > MaxName {
		s = shorten(s)
	}
	return s
}

// IsSafeName reports whether a user may give this name to a file or a folder: it is one that a
// torrent may have, so that no system takes it for a path or a device.
func IsSafeName(s string) bool { return s != "" && component(s) == s }

// namesNothing reports whether no part of s between separators is a name.
func namesNothing(s string) bool {
	for part := range strings.FieldsFuncSeq(s, isSeparator) {
		if part != "." && part != ".." {
			return false
		}
	}
	return true
}

func isSeparator(r rune) bool { return r == '/' || r == '\\' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// replace replaces by "_" every character for which bad returns true, bytes that are not
// UTF-8, and the colon of a drive.
func replace(s string, bad func(rune) bool) string {
	isBad := func(i int, r rune) bool {
		return bad(r) ||
			r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) ||
			i == 1 && r == ':' && isLetter(s[0])
	}
	for i, r := range s {
		if !isBad(i, r) {
			continue
		}
		var b strings.Builder
		b.WriteString(s[:i])
		for j, r := range s[i:] {
			if isBad(i+j, r) {
				r = '_'
			}
			b.WriteRune(r)
		}
		return b.String()
	}
	return s
}

// badAnywhere reports whether names must not contain r on any system.
func badAnywhere(r rune) bool {
	switch {
	case r < 0x20, 0x7f <= r && r < 0xa0:
		return true // C0, DEL and C1 controls
	case isSeparator(r):
		return true
	case r == 0x2028, r == 0x2029:
		return true // line and paragraph separator
	case 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		// Embeddings, overrides and isolates of writing direction, which make "gpj.exe"
		// appear as "exe.jpg".
		return true
	}
	return false
}

// dosName returns the name to use for a safe one on Windows and its file systems, usually
// the same.
func dosName(s string) string {
	s = replace(s, func(r rune) bool { return strings.ContainsRune(`<>:"|?*`, r) })
	// Win32 drops them silently: "a." would be "a".
	s = strings.TrimRight(s, ". ")
	stem, _, _ := strings.Cut(s, ".")
	// With an extension ("aux.c") it is a device only on some versions of Windows.
	if s == "" || isDevice(strings.TrimRight(stem, " ")) {
		s = "_" + s
	}
	if len(s) > MaxName {
		s = shorten(s)
	}
	return s
}

// devices lists the names that Windows treats as devices.
var devices = map[string]bool{
	"CON": true, "PRN": true, "AUX": true, "NUL": true, "CONIN$": true, "CONOUT$": true, "CLOCK$": true,
	"COM0": true, "COM1": true, "COM2": true, "COM3": true, "COM4": true, "COM5": true, "COM6": true, "COM7": true,
	"COM8": true, "COM9": true, "COM¹": true, "COM²": true, "COM³": true,
	"LPT0": true, "LPT1": true, "LPT2": true, "LPT3": true, "LPT4": true, "LPT5": true, "LPT6": true, "LPT7": true,
	"LPT8": true, "LPT9": true, "LPT¹": true, "LPT²": true, "LPT³": true,
}

// isDevice reports whether s is the name of a Windows device.
func isDevice(s string) bool { return len(s) <= 7 && devices[strings.ToUpper(s)] }

// WithSuffix returns a safe name with a suffix. The name is shortened if both together
// are too long.
func WithSuffix(name, suffix string) string {
	if len(name)+len(suffix) > MaxName {
		name = shortenTo(name, MaxName-len(suffix))
	}
	return name + suffix
}

// shorten truncates a name that is too long. It keeps the extension and adds part of the
// hash of the whole name, so that long names with the same beginning differ.
func shorten(s string) string { return shortenTo(s, MaxName) }

func shortenTo(s string, limit int) string {
	sum := sha1.Sum([]byte(s))
	tail := "~" + hex.EncodeToString(sum[:4])
	if dot := strings.LastIndexByte(s, '.'); dot > len(s)-16 {
		tail += s[dot:]
	}
	cut := limit - len(tail)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + tail
}

// Literal returns the path as spelled in the torrent, if it differs from Path and a file
// of that name can exist below the torrent's directory; otherwise nil. seedbed does not
// create files there, but the original data or the copy of another program may be there.
func (f *File) Literal() []string {
	if f.Spelled == nil {
		return nil
	}
	out := slices.DeleteFunc(slices.Clone(f.Spelled), func(s string) bool { return s == "" || s == "." })
	if len(out) == 0 || slices.Equal(out, f.Path) {
		return nil
	}
	for _, s := range out {
		if s == ".." || strings.ContainsAny(s, "/\x00") || len(s) > MaxName {
			return nil
		}
	}
	return out
}

// LiteralName is Literal for the torrent's name; it may be empty.
func (i *Info) LiteralName() string {
	if i.SpelledName == "" {
		return ""
	}
	f := File{Path: []string{i.Name}, Spelled: []string{i.SpelledName}}
	return joined(f.Literal())
}

// joined returns a path with slashes, for messages.
func joined(path []string) string { return strings.Join(path, "/") }
