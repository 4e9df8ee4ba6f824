// Package delegate signs, reads and stores the statements by which the owner of a publication
// lets other keys publish under its link (docs/delegation.md).
//
// A statement travels as a small text file from the machine with the master key to the machines
// that publish. It contains no secret: it is an item of the DHT that the master key has
// signed. A state directory keeps the newest statement of each publication: the owner's, so that no
// two statements get the same number, and a publisher's, so that it can put it into the DHT.
//
// Errors about files that cannot be used are node.Faults.
package delegate

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// Statement is a signed statement. InfoHash is zero if nothing had been published before it.
type Statement struct {
	Item dht.Item
	mutable.Delegation
	InfoHash id.ID // of the version that it names
}

// Sign returns a statement with the number seq; master is the key of the link.
func Sign(master ed25519.PrivateKey, salt []byte, seq int64, infohash id.ID, d mutable.Delegation) (*Statement, error) {
	v := mutable.Version{InfoHash: infohash, Delegation: &d}
	i, err := dht.SignItem(master, salt, seq, v.Value())
	if err != nil {
		return nil, node.NewFault(node.FaultUsage, err, "")
	}
	return Of(i)
}

// Of returns the statement in an item whose signature is valid.
func Of(i dht.Item) (*Statement, error) {
	v, _ := mutable.Read(mutable.Link(i.Key, i.Salt, ""), i.Value) // it need not name a torrent
	if v.Delegation == nil {
		return nil, errors.New("the item delegates nothing")
	}
	return &Statement{i, *v.Delegation, v.InfoHash}, nil
}

// Link returns the link of the publication.
func (s *Statement) Link(name string) *magnet.Link {
	return mutable.Link(s.Item.Key, s.Item.Salt, name)
}

// The form of the file: the first line, and one line for each field, in this order. A salt
// that is empty has no line.
const (
	firstLine = "seedbed delegation 1"
	// MaxFile is the maximum size of a file in bytes. The largest statement has less.
	MaxFile = 4 << 10
)

var fields = []string{"key", "salt", "seq", "value", "sig"}

// Append appends the text of the file.
func (s *Statement) Append(dst []byte) []byte {
	dst = append(dst, firstLine+"\n"...)
	for k, text := range []string{
		hex.EncodeToString(s.Item.Key[:]), hex.EncodeToString(s.Item.Salt), strconv.FormatInt(s.Item.Seq, 10), hex.EncodeToString(s.Item.Value), hex.EncodeToString(s.Item.Sig[:]),
	} {
		if text != "" {
			dst = fmt.Appendf(dst, "%s %s\n", fields[k], text)
		}
	}
	return dst
}

// errFile returns the error for a file that is not usable.
func errFile(reason string) error {
	return node.NewFault(node.FaultUsage, errors.New("not a usable delegation file: "+reason), "ask the owner of the publication for the file that seedbed key delegate has written")
}

// Parse reads the text of a file. Its statement is signed with the master key that it names.
func Parse(text []byte) (*Statement, error) {
	if len(text) > MaxFile {
		return nil, errFile(fmt.Sprintf("it has more than %d bytes", MaxFile))
	}
	text = bytes.ReplaceAll(bytes.TrimSpace(text), []byte("\r\n"), []byte("\n"))
	lines := strings.Split(string(text), "\n")
	if kind, version, _ := strings.Cut(lines[0], "delegation "); kind == "seedbed " && version != "1" {
		return nil, errFile("a newer version of seedbed has written it")
	}
	if lines[0] != firstLine {
		return nil, errFile(fmt.Sprintf("its first line is not %q", firstLine))
	}
	lines = lines[1:]
	i := dht.Item{Mutable: true}
	for _, field := range fields {
		if len(lines) == 0 || !strings.HasPrefix(lines[0], field+" ") {
			if field == "salt" {
				continue
			}
			return nil, errFile("it has no line " + field)
		}
		if !setField(&i, field, lines[0][len(field)+1:]) {
			return nil, errFile("the line " + field + " is damaged")
		}
		lines = lines[1:]
	}
	if len(lines) > 0 {
		return nil, errFile("it has lines after the signature")
	}
	if !i.IsSigned() {
		return nil, errFile("the signature is wrong")
	}
	s, err := Of(i)
	if err != nil {
		return nil, errFile(err.Error())
	}
	return s, nil
}

// setField sets a field of an item from its text. It returns false if the text is malformed.
func setField(i *dht.Item, field, text string) bool {
	if field == "seq" {
		n, err := strconv.ParseInt(text, 10, 64)
		i.Seq = n
		return err == nil && n > 0
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		return false
	}
	switch field {
	case "key":
		return copy(i.Key[:], b) == len(i.Key) && len(b) == len(i.Key)
	case "sig":
		return copy(i.Sig[:], b) == len(i.Sig) && len(b) == len(i.Sig)
	case "salt":
		i.Salt = b
		return len(b) > 0
	}
	i.Value, err = bencode.ParseStrict(b, bencode.Limits{Depth: 32})
	return err == nil
}
