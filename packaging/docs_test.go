//go:build linux

package main

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	linkForm    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headingForm = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors returns the anchors of the headings of a document, as GitHub and others make them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range headingForm.FindAllStringSubmatch(text, -1) {
		kept := func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 127:
				return r
			}
			return -1
		}
		all[strings.Map(kept, strings.ToLower(m[1]))] = true
	}
	return all
}

// Every document in a package links to files, and to headings, that are in the package as well.
func TestLinksLeadSomewhereInThePackage(t *testing.T) {
	r, err := testRelease()
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]func() ([]file, error){}
	for _, tg := range r.targets {
		packages[r.archiveName(tg)] = func() ([]file, error) { return r.archiveFiles(tg) }
	}
	for _, format := range []string{"deb", "rpm"} {
		packages[format] = func() ([]file, error) { return r.linuxFiles(format, "amd64") }
	}
	for name, list := range packages {
		files, err := list()
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]string{}
		for _, f := range files {
			texts[f.path] = string(f.data)
		}
		links := 0
		for from, text := range texts {
			if path.Ext(from) != ".md" {
				continue
			}
			for _, m := range linkForm.FindAllStringSubmatch(text, -1) {
				to, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(to, "://") {
					continue
				}
				links++
				target := from
				if to != "" {
					target = path.Join(path.Dir(from), to)
				}
				if there, ok := texts[target]; !ok {
					t.Errorf("%s: %s links to %s, which is not in the package", name, from, m[1])
				} else if anchor != "" && !anchors(there)[anchor] {
					t.Errorf("%s: %s links to %s, but %s has no such heading", name, from, m[1], target)
				}
			}
		}
		if links < 20 {
			t.Errorf("%s: %d links in its documents", name, links)
		}
	}
}
