package api

import (
	"context"
	"errors"

	"seedbed/internal/bencode"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/view"
)

type putInput struct {
	Body struct {
		Text  string `json:"text,omitempty" maxLength:"1000" doc:"The value, as a string; or give bencoded."`
		Value []byte `json:"bencoded,omitempty" doc:"The encoded value in base64, at most 1,000 bytes."`
		Key   string `json:"key,omitempty" maxLength:"64" doc:"The name of the key on the daemon's machine that signs the item; without it, the item is immutable."`
		Salt  string `json:"salt,omitempty" maxLength:"64" doc:"Distinguishes several items of one key."`
		Seq   int64  `json:"seq,omitempty" minimum:"0" doc:"The sequence number; by default one more than that of the stored item."`
		CAS   *int64 `json:"cas,omitempty" minimum:"0" doc:"The sequence number that the stored item must have."`
	}
}

// StoredItem is an item that was stored.
type StoredItem struct {
	Target   string     `json:"target"`
	Item     *view.Item `json:"item"`
	Accepted int        `json:"accepted" doc:"The number of nodes that accepted it."`
	Kept     int        `json:"kept" doc:"The number of nodes that returned it afterwards. They drop it after two hours if it is not stored again."`
	Lookup   DHTLookup  `json:"lookup"`
}

func (a *api) putItem(ctx context.Context, in *putInput) (*struct{ Body StoredItem }, error) {
	b := &in.Body
	if (b.Text == "") == (b.Value == nil) {
		return nil, a.problem(node.NewFault(node.FaultUsage, errors.New("give either text or bencoded"), ""))
	}
	value := bencode.Value(b.Value)
	if b.Value == nil {
		value = bencode.AppendString(nil, b.Text)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*lookupWithin)
	defer cancel()
	item, r, err := a.PutItem(ctx, daemon.PutRequest{Value: value, Key: b.Key, Salt: b.Salt, Seq: b.Seq, CAS: b.CAS})
	if err != nil {
		return nil, a.problem(err)
	}
	return &struct{ Body StoredItem }{StoredItem{item.Target().String(), view.ItemOf(&item), r.Accepted, r.Stored, DHTLookup(view.LookupOf(&r.Report))}}, nil
}
