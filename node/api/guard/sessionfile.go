package guard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"seedbed/internal/statefile"
)

const (
	// sessionFileName is the name of the file with the sessions, in the state directory.
	sessionFileName = "logins"
	// maxSessionFile limits that file, in bytes: maxSessions sessions take a third of it.
	maxSessionFile = 1 << 20
	// saveEvery is the time between two writes of the file when nothing but the last use of the sessions has changed.
	// After a crash a session ends earlier by at most this time.
	saveEvery = 5 * time.Minute
)

// A sessionFile keeps the sessions over a restart. It has only the hashes of cookies and tokens, so that the file gives no
// access. It is not synced to disk: after a power cut people may have to log in again, and a token that was revoked
// gives no access whatever the file says.
type sessionFile struct {
	path    string // "": there is no file
	log     *slog.Logger
	content func() (page string, list []session)

	saving sync.Mutex // held while the file is written
	mu     sync.Mutex
	timer  *time.Timer // set while a write is due
	closed bool
	failed bool // the last write
}

// savedSessions is the content of the file.
type savedSessions struct {
	Page     string         `json:"page"` // the name of the cookie
	Sessions []savedSession `json:"sessions"`
}

// savedSession is a session in the file. Times are seconds since 1970.
type savedSession struct {
	ID    string `json:"sha256"`          // of the cookie's value
	Token string `json:"token,omitempty"` // its hash
	Local bool   `json:"local,omitempty"` // the login needed no token
	Begun int64  `json:"begun"`
	Used  int64  `json:"used"`
}

// read returns what the file has. A file that is damaged has nothing, and is replaced with the next login.
func (f *sessionFile) read(now time.Time) (page string, list []*session) {
	b, err := statefile.ReadMax(f.path, maxSessionFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		page, list, err = parseSessions(b, now)
	}
	if err != nil {
		f.log.Warn("the logins of the web page were not restored; log in again", "file", f.path, "err", err)
		return "", nil
	}
	return page, list
}

// parseSessions parses the file, and leaves out sessions that have ended. Whatever is not as we write it is an error: a
// session whose token got lost would otherwise be one that needs none.
func parseSessions(b []byte, now time.Time) (page string, list []*session, err error) {
	var saved savedSessions
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&saved); err != nil {
		return "", nil, err
	}
	if name, ok := strings.CutPrefix(saved.Page, pageCookie); !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", nil, fmt.Errorf("%q is not the name of a cookie", saved.Page)
	}
	for i, k := range saved.Sessions {
		id, err := hex.DecodeString(k.ID)
		hash, err2 := hex.DecodeString(k.Token)
		if err != nil || err2 != nil || len(id) != sha256.Size || k.Local != (len(hash) == 0) || !k.Local && len(hash) != sha256.Size {
			return "", nil, fmt.Errorf("session %d has no valid hashes", i+1)
		}
		x := &session{begun: time.Unix(k.Begun, 0), used: time.Unix(k.Used, 0)}
		if x.used.After(now) { // the clock was set back
			x.used = now
		}
		if x.begun.After(x.used) {
			x.begun = x.used
		}
		x.credential.session, x.isLocal = sessionID(id), k.Local
		copy(x.token[:], hash)
		if !x.hasEnded(now) {
			list = append(list, x)
		}
	}
	return saved.Page, list, nil
}

// saveLater writes the file within saveEvery.
func (f *sessionFile) saveLater() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.timer == nil && f.path != "" && !f.closed {
		f.timer = time.AfterFunc(saveEvery, f.save)
	}
}

// save writes the file. That it cannot be written is not an error for the person who logs in.
func (f *sessionFile) save() {
	f.saving.Lock()
	defer f.saving.Unlock()
	f.mu.Lock()
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	closed := f.closed
	f.mu.Unlock()
	if f.path == "" || closed {
		return
	}
	err := f.write()
	if err != nil && !f.failed {
		f.log.Warn("the logins of the web page cannot be saved; a restart will end them", "err", err)
	}
	f.failed = err != nil
}

func (f *sessionFile) write() error {
	page, list := f.content()
	saved := savedSessions{page, make([]savedSession, len(list))}
	for i, x := range list {
		saved.Sessions[i] = savedSession{ID: hex.EncodeToString(x.credential.session[:]), Local: x.isLocal, Begun: x.begun.Unix(), Used: x.used.Unix()}
		if !x.isLocal {
			saved.Sessions[i].Token = hex.EncodeToString(x.token[:])
		}
	}
	b, err := json.Marshal(saved)
	if err != nil {
		return err
	}
	return statefile.Write(f.path, append(b, '\n'))
}

// close writes the file for the last time.
func (f *sessionFile) close() {
	f.save()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.timer != nil {
		f.timer.Stop()
	}
}
