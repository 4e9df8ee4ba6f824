package storage

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"seedbed/magnet/metainfo"
)

// Names of files are those of metainfo.File.Path, with three exceptions, which are recorded
// next to the resume record. First, existing data under the name as spelled in the torrent is
// used in place. Second, names that the file system rejects or does not distinguish are
// replaced by valid ones (metainfo.Info.Substitutes). Both are decided when a torrent is opened
// for the first time. Third, Rename changes names.

// chosenNames holds the exceptions. Its record is described in namesrecord.go.
type chosenNames struct {
	root  string         // replaces Info.Name; "" means Info.Name, "." that there is no common folder
	limit int            // maximal length of a name in bytes; 0 means metainfo.MaxName
	files map[int]string // relative to the download folder, by index in Info.Files
}

// setNames makes the layout use these names.
func (l *layout) setNames(n chosenNames) {
	l.root, l.names, l.nameLimit = n.root, n.files, n.limit
	if l.root == "" {
		l.root = l.info.Name
	}
	if l.nameLimit == 0 {
		l.nameLimit = metainfo.MaxName
	}
}

// chooseNames determines which files have a name that differs from their path. known says
// that there is a resume record, so that the names were chosen before.
func (s *Storage) chooseNames(known bool) error {
	names, pending, found, err := s.loadNames()
	if err != nil {
		return err
	}
	if found || known {
		s.setNames(names)
		if pending != nil {
			return s.continueRename(pending)
		}
		return nil
	}
	if names, err = s.findNames(); err != nil {
		return err
	}
	s.setNames(names)
	return s.writeNames(names)
}

// writeNames records the names that differ from those of the torrent, if there are any.
func (s *Storage) writeNames(names chosenNames) error {
	if s.o.ReadOnly || s.o.Record == "" || names.root == "" && names.limit == 0 && len(names.files) == 0 {
		return nil
	}
	return s.recordNames(names, nil)
}

// findNames determines the names from the disk.
func (s *Storage) findNames() (n chosenNames, err error) {
	n.files = map[int]string{}
	if s.o.ReadOnly {
		s.findStored(&n)
	} else if rules := s.probeRules(); rules != (metainfo.NameRules{}) {
		n.limit = rules.MaxName
		s.substitute(&n, rules)
		if s.renamed = len(n.files); n.root != "" {
			s.renamed++
		}
	}
	// "The original name": the torrent's own folder does not exist, but one with the name
	// as spelled in the torrent does.
	if literal := s.info.LiteralName(); literal != "" && s.info.IsMulti() && usable(literal) && !s.exists(s.info.Name) && s.exists(literal) {
		n.root = literal
	}
	s.setNames(n)
	if !slices.ContainsFunc(s.info.Files, func(f metainfo.File) bool { return f.Spelled != nil }) {
		return n, nil
	}
	claimed := map[string]bool{}
	for i := range s.info.Files {
		claimed[s.final(i)] = true
	}
	for i := range s.info.Files {
		f := &s.info.Files[i]
		if !f.IsRegular() || f.Spelled == nil {
			continue
		}
		name := s.literal(i)
		if name == "" || claimed[name] || s.exists(s.final(i)) || s.exists(s.part(i)) {
			continue
		}
		if fi, err := s.disk.Lstat(name); err == nil && fi.Mode().IsRegular() && fi.Size() == f.Length {
			n.files[i] = name
			claimed[name] = true
		}
	}
	return n, nil
}

// substitute chooses names that a file system with these rules can hold.
func (s *Storage) substitute(n *chosenNames, rules metainfo.NameRules) {
	root, paths := s.info.Substitutes(rules)
	if s.info.IsMulti() {
		n.root = root
	}
	s.setNames(*n)
	for i, path := range paths {
		n.files[i] = s.join(path)
	}
}

// foldingRules and otherRules are the rules under which shared or checked files may have
// been stored, most common first.
var (
	foldingRules = []metainfo.NameRules{{DOS: true, Fold: true}, {Fold: true}, {DOS: true, ASCII: true, Fold: true}}
	otherRules   = []metainfo.NameRules{{}, {DOS: true}, {DOS: true, ASCII: true}}
)

// findStored determines, without creating anything, under which rules the files of the
// torrent were stored: those by which most of them exist.
func (s *Storage) findStored(n *chosenNames) {
	root, paths := s.info.Substitutes(metainfo.NameRules{DOS: true, ASCII: true, Fold: true})
	if root == "" && len(paths) == 0 {
		return
	}
	rules := slices.Concat(otherRules, foldingRules)
	if s.ignoresCase() { // and two names may denote the same file
		rules = slices.Concat(foldingRules, otherRules)
	}
	best := 0
	for _, r := range rules {
		try := chosenNames{files: map[int]string{}}
		s.substitute(&try, r)
		if found := s.countFiles(try); found > best {
			best, *n = found, try
		}
	}
}

// countFiles returns how many files of the right size exist under these names.
func (s *Storage) countFiles(n chosenNames) (found int) {
	s.setNames(n)
	for i := range s.info.Files {
		if f := &s.info.Files[i]; f.IsRegular() {
			if fi, err := s.disk.Stat(s.final(i)); err == nil && fi.Mode().IsRegular() && fi.Size() == f.Length {
				found++
			}
		}
	}
	return found
}

// ignoresCase reports whether the torrent's folder is found by a name in a different
// case.
func (s *Storage) ignoresCase() bool {
	root, _ := s.info.Substitutes(metainfo.NameRules{DOS: true})
	for _, name := range []string{s.info.Name, root} {
		here, err := s.disk.Lstat(name)
		if name == "" || err != nil {
			continue
		}
		other := strings.ToUpper(name)
		if other == name {
			other = strings.ToLower(name)
		}
		there, err := s.disk.Lstat(other)
		return other != name && err == nil && s.disk.Same(here, there)
	}
	return false
}

func (s *Storage) exists(name string) bool {
	_, err := s.disk.Lstat(name)
	return err == nil
}

// usable reports whether a path as spelled in a torrent is a valid file name here.
func usable(name string) bool {
	return filepath.IsLocal(name) && !strings.Contains(name, "\x00") && (runtime.GOOS != "windows" || !strings.ContainsAny(name, `:<>"|?*`))
}

// probeRules determines what the file system does to the names in this torrent. It tries
// nothing that the torrent does not need.
func (s *Storage) probeRules() (r metainfo.NameRules) {
	root, paths := s.info.Substitutes(metainfo.NameRules{DOS: true, Fold: true})
	odd := root != "" || len(paths) > 0
	foreign, longest := s.unusual()
	if !odd && foreign == nil && longest == 0 {
		return r
	}
	if runtime.GOOS == "windows" {
		return metainfo.NameRules{DOS: true, Fold: true}
	}
	plain := "." + s.info.Hash.String()[:16] + ".probe"
	if !s.canMake(plain, "") {
		return r // nothing can be created; creating the first file will report why
	}
	if odd {
		r.DOS = !s.canMake(plain+`:?`, "") || s.canMake(plain+"z.", plain+"z")
		r.Fold = s.canMake(plain+"é", plain+"E\u0301") || s.canMake(plain+"x", strings.ToUpper(plain+"x"))
	}
	for _, c := range foreign {
		r.ASCII = r.ASCII || !s.canMake(plain+c, "")
	}
	if longest > 0 && !s.canMake(plain+strings.Repeat("x", longest-len(plain)), "") {
		r.MaxName = shortName
	}
	return r
}

// shortName is the longest name on file systems that encrypt names into ones of at most
// 255 bytes, such as eCryptfs.
const shortName = 143

// unusual returns a few parts of names beyond ASCII, and the length of the longest name
// on the disk if some file systems cannot hold it, otherwise 0.
func (s *Storage) unusual() (foreign []string, longest int) {
	see := func(c string) {
		if n := min(len(c)+len(s.suffix), metainfo.MaxName); n > max(longest, shortName) {
			longest = n
		}
		if len(foreign) < maxForeign && strings.ContainsFunc(c, isForeign) {
			only := strings.Map(func(r rune) rune {
				if isForeign(r) {
					return r
				}
				return -1 // tested separately
			}, c)
			foreign = append(foreign, strings.ToValidUTF8(only[:min(len(only), 150)], ""))
		}
	}
	see(s.info.Name)
	prev := []string(nil)
	for i := range s.info.Files {
		f := &s.info.Files[i]
		if f.Pad {
			continue
		}
		for k, c := range f.Path {
			if k >= len(prev) || prev[k] != c {
				see(c)
			}
		}
		prev = f.Path
	}
	return foreign, longest
}

func isForeign(r rune) bool { return r >= 0x80 }

// maxForeign is how many names beyond ASCII are tested.
const maxForeign = 4

// canMake creates an empty file and removes it. It reports whether that worked and, if
// alias is set, whether the file is found under that name too.
func (s *Storage) canMake(name, alias string) (ok bool) {
	f, err := s.disk.Open(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return false
	}
	ok = alias == "" || s.exists(alias)
	_ = f.Close()
	_ = s.disk.Remove(name) // an empty file that is left behind does no harm
	return ok
}

// Renamed returns how many names were substituted when the torrent was opened because the
// file system rejects or does not distinguish them, and one of them as it is in the
// torrent and on the disk.
func (s *Storage) Renamed() (n int, path, name string) {
	if s.renamed > 0 && s.root != s.info.Name {
		return s.renamed, s.info.Name, s.root
	}
	for i := range s.info.Files {
		if name, ok := s.names[i]; ok && s.renamed > 0 {
			return s.renamed, strings.Join(s.info.Files[i].Path, "/"), name
		}
	}
	return 0, "", ""
}
