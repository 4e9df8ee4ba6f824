package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"seedbed/magnet"
	"seedbed/node/tree"
)

// earlier returns the version that a.Number names, if the newest item names it. It stays the same as long
// as the publisher signs no other under the same number.
func (l *Library) earlier(ctx context.Context, a Address, client netip.Prefix) (*Version, func(), error) {
	v, done, err := l.Newest(ctx, a.newest(), client)
	if err != nil {
		return nil, nil, err
	}
	if v.Seq == a.Number {
		return v, done, nil
	}
	defer done()
	l.mu.Lock()
	s := l.site(a.newest())
	link, before := s.link, s.copy
	var pin *magnet.Link
	ok := true
	if s.newest != nil {
		pin, ok = s.newest.At(link, a.Number)
	}
	l.mu.Unlock()
	switch {
	case !ok:
		return nil, nil, &Failure{Code: http.StatusNotFound, Title: "No such version", Text: fmt.Sprintf("The newest version is %d. It does not name version %d among the earlier ones.", v.Seq, a.Number),
			Hint: "Use the address without v-NUMBER for the newest version."}
	case pin == nil: // its copy has just been deleted
		return nil, nil, busy
	}
	if c := l.copies.ready(pin.InfoHash); c != nil && c.secret == link.Secret { // otherwise another publication has decrypted it
		if done, ok := c.use(); ok {
			return versionOf(c, c.tree, link, a.Number), done, nil
		}
	}
	if refused := l.admit(client); refused != nil {
		return nil, nil, refused
	}
	defer l.lookups.give(client)
	ctx, cancel := context.WithTimeout(ctx, waitFor)
	defer cancel()
	for {
		c, files, err := l.copies.open(ctx, pin, link, before)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return nil, nil, &Failure{Code: http.StatusGatewayTimeout, Retry: 30, Title: "No peer has this version",
				Text: fmt.Sprintf("Version %d is one of the publication, but no peer that has it could be reached.", a.Number), Hint: "Try again when a follower that keeps this version is online."}
		case err != nil:
			return nil, nil, unavailable(err)
		}
		if done, ok := c.use(); ok {
			return versionOf(c, files, link, a.Number), done, nil
		}
	}
}

// versionOf returns the version that c holds.
func versionOf(c *held, files *tree.Tree, link *magnet.Link, number int64) *Version {
	a := AddressOf(link)
	a.Number = number
	return &Version{Seq: number, InfoHash: c.torrent.InfoHash(), Tree: files, MaxFile: c.maxFile(), Alone: a, IsPrivate: link.Secret.CanRead()}
}
