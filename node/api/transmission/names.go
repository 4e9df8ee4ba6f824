package transmission

// A dialect is a form of the protocol. Each request says which one it uses, and is answered in
// the same.
type dialect uint8

const (
	// legacy is the protocol before Transmission 4.1, with names in kebab or camel case.
	legacy dialect = iota
	// jsonRPC is JSON-RPC 2.0 with names in snake case.
	jsonRPC
	dialects
)

// Names with two old forms: in torrents they are in camel case, and elsewhere as in the tables below.
const (
	downloadDir = "download_dir"
	totalSize   = "total_size"
)

var currentNames, legacyNames = nameMaps()

func nameMaps() (current, old map[string]string) {
	current = map[string]string{"download-dir": downloadDir, "downloadDir": downloadDir}
	old = map[string]string{downloadDir: "download-dir"}
	for _, r := range renamed {
		current[r[1]], old[r[0]] = r[0], r[1]
	}
	old[totalSize] = totalSize // of free-space
	return current, old
}

// currentName returns the JSON-RPC form of a name. A client may use either form in either
// dialect.
func currentName(name string) string {
	if c, ok := currentNames[name]; ok {
		return c
	}
	return name
}

// in returns the form of a name in a dialect.
func (d dialect) in(name string) string {
	if l, ok := legacyNames[name]; ok && d == legacy {
		return l
	}
	return name
}

// inTorrent returns the form of the name of a torrent's field in a dialect.
func (d dialect) inTorrent(name string) string {
	switch {
	case d == legacy && name == downloadDir:
		return "downloadDir"
	case d == legacy && name == totalSize:
		return "totalSize"
	}
	return d.in(name)
}
