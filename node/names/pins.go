package names

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/node"
)

// A Pin is the publication that a domain had at first use, or when Accept was called.
type Pin struct {
	Domain string
	Publication
	Since time.Time
}

func (p *Pin) link() *magnet.Link { return p.Publication.link(p.Domain) }

// pinFile is the content of the file names/_btpk.DOMAIN of the state directory. No
// name that begins like this has a special meaning on Windows.
type pinFile struct {
	Key   string    `json:"key"`
	Salt  string    `json:"salt,omitempty"` // in hexadecimal
	Since time.Time `json:"since"`
}

// maxPins limits the names that are pinned, because clients of a daemon and of a gateway choose them too.
const maxPins = 4096

// pins are the pinned publications. With an empty dir, they are in memory only.
type pins struct {
	dir    string
	memory map[string]*Pin
}

func openPins(state string) pins {
	if state == "" {
		return pins{memory: map[string]*Pin{}}
	}
	return pins{dir: filepath.Join(state, "names")}
}

func (p *pins) path(domain string) string { return filepath.Join(p.dir, keyLabel+domain) }

const damagedAdvice = "delete it to pin the key again that the DNS has now"

// read returns the pin of a domain, or nil. A pin that cannot be read is an error: the key would
// be pinned again without a notice otherwise.
func (p *pins) read(domain string) (*Pin, error) {
	if p.dir == "" {
		return p.memory[domain], nil
	}
	var f pinFile
	path := p.path(domain)
	_, err := node.ReadRecord(path, &f, damagedAdvice)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pin := &Pin{Domain: domain, Since: f.Since}
	if pin.Key, err = id.ParseHex32(f.Key); err == nil && f.Salt != "" {
		pin.Salt, err = hex.DecodeString(f.Salt)
	}
	if err != nil {
		return nil, &node.DamagedError{Path: path, Err: err, Advice: damagedAdvice}
	}
	return pin, nil
}

// write stores a pin.
func (p *pins) write(pin *Pin) error {
	if p.dir == "" {
		if p.memory[pin.Domain] == nil && len(p.memory) >= maxPins {
			return errTooMany
		}
		p.memory[pin.Domain] = pin
		return nil
	}
	if err := statefile.MkdirAll(p.dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(p.path(pin.Domain)); len(entries) >= maxPins && errors.Is(err, fs.ErrNotExist) {
		return errTooMany
	}
	b, err := json.MarshalIndent(pinFile{pin.Key.String(), hex.EncodeToString(pin.Salt), pin.Since}, "", " ")
	if err != nil {
		return err
	}
	return statefile.WriteSync(p.path(pin.Domain), append(b, '\n'))
}

var errTooMany = node.NewFault(node.FaultUsage, fmt.Errorf("the keys of %d names are pinned, which is the maximum", maxPins), "delete those that are not needed from the folder names of the state directory")
