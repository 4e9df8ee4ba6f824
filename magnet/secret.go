package magnet

import (
	"bytes"
	"encoding/hex"

	"seedbed/internal/sealed"
)

// The parameters with the secret of a private publication: to read it, or only to keep it alive.
const (
	readParam = "x.read"
	keepParam = "x.keep"
)

// secret parses the value of x.read or x.keep. Its errors do not contain the secret, because
// errors are logged.
func (p *parser) secret(kind sealed.Kind, value string) error {
	s, err := sealed.ParseSecret(kind, value)
	part := readParam
	if kind == sealed.KeepAlive {
		part = keepParam
	}
	if err != nil {
		return &Error{Part: part, Reason: "cannot be used: " + err.Error() + "; copy the whole link again"}
	}
	if !p.l.Secret.IsZero() && p.l.Secret != s {
		return &Error{Part: part, Reason: "is a second secret; a link can have only one"}
	}
	p.l.Secret = s
	return nil
}

// private checks a link with a secret, and sets the salt that follows from it.
func (p *parser) private() error {
	l := p.l
	if !l.HasPublicKey {
		return &Error{Part: readParam + " or " + keepParam, Reason: "is the secret of a publication, but the link has no public key (xs=" + keyPrefix + ")"}
	}
	salt := l.Secret.Salt()
	for _, value := range p.salts {
		if given, err := hex.DecodeString(value); err != nil || !bytes.Equal(given, salt) {
			return &Error{Part: "s=" + value, Reason: "is not the salt that follows from the secret in the link"}
		}
	}
	l.Salt, p.salts = salt, nil
	return nil
}

// IsPrivate reports whether the link is of a private publication.
func (l *Link) IsPrivate() bool { return l != nil && !l.Secret.IsZero() }

// WithSecret returns a copy of the link with the secret of a private publication, and its salt.
func (l *Link) WithSecret(s sealed.Secret) *Link {
	c := *l
	c.Secret, c.Salt = s, s.Salt()
	return &c
}

// ToKeep returns the link of a private publication that can only keep it alive. It has no name,
// which is hidden from those who get this link.
func (l *Link) ToKeep() *Link {
	return &Link{PublicKey: l.PublicKey, HasPublicKey: true, Salt: l.Salt, Secret: l.Secret.ToKeep(), Peers: l.Peers}
}
