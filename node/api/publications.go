package api

import (
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/publish"
	"seedbed/node/view"
)

// PublicationPath is the path parameter of operations on one publication.
type PublicationPath struct {
	ID string `path:"id" maxLength:"64" doc:"The target of the publication, the beginning of it (at least 4 digits), or the name of its key."`
}

type publicationInput struct {
	PublicationPath
	Holders bool `query:"holders" doc:"Ask the DHT which nodes hold the signed item, and in which version."`
	Copies  bool `query:"copies" doc:"Ask the DHT how many peers have each of the newest versions; at most 8 are counted."`
}

type publicationsInput struct {
	Ended bool `query:"ended" doc:"Also list those that have ended with their history kept, after the others."`
}

type unpublishInput struct {
	PublicationPath
	KeepHistory bool `query:"keep_history" doc:"Keep the versions on record; publishing under the key continues their numbers. Otherwise they are deleted, also those of a publication that has ended."`
}

// PublicationList is what a daemon publishes.
type PublicationList struct {
	Publications []*view.History `json:"publications" doc:"Sorted by the names of their keys."`
}

// PublishBody describes what to publish.
type PublishBody struct {
	Key         string   `json:"key" minLength:"1" maxLength:"64" doc:"The name of a key on the daemon's machine. It is created if it does not exist and path is given."`
	Salt        string   `json:"salt,omitempty" maxLength:"64" doc:"Distinguishes several publications of one key."`
	Path        string   `json:"path,omitempty" doc:"The file or folder: an absolute path in an allowed folder, or s3://BUCKET/PREFIX in the object store of the node. Without it, what was published before."`
	Watch       float64  `json:"watch_s,omitempty" minimum:"0" maximum:"86400" doc:"The interval in seconds at which to check the path for changes and publish them; 0 means never."`
	Format      string   `json:"format,omitempty" enum:"v1,v2,hybrid" doc:"The kind of torrents; by default that of the last time, or hybrid."`
	PieceLength int64    `json:"piece_length,omitempty" minimum:"0" doc:"A power of two between 16 KiB and 512 MiB; by default by size. Needs format."`
	WebSeeds    []string `json:"web_seeds,omitzero" doc:"URLs of HTTP mirrors of the content; by default those of the last time. Objects in a store that everybody can read are one too, unless the list is empty."`
	Delegation  string   `json:"delegation,omitempty" maxLength:"4096" doc:"The text of a delegation file: publish under the link of the key that has signed it. It is recorded, and needed again only when it was renewed."`
	Overrule    bool     `json:"overrule,omitempty" doc:"Continue from a version that another machine has published under the key."`
	Secret      bool     `json:"secret,omitempty" doc:"Make it a private publication, which only those can read who have the secret in its link. One that is private stays so; one that is public cannot become private."`
}

type rollbackInput struct {
	PublicationPath
	Body struct {
		Seq      int64 `json:"seq" minimum:"1" doc:"The number of the earlier version."`
		Overrule bool  `json:"overrule,omitempty" doc:"Continue from a version that another machine has published under the key."`
	}
}

// KeyList is the publishing keys of a daemon's machine.
type KeyList struct {
	Keys []*view.Key `json:"keys" doc:"Sorted by name. A key that cannot be read has no public key."`
}

func (a *api) addPublications() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/publications", "list-publications", "List the publications", token.Read),
		a.listPublications)
	huma.Register(a.huma, startsJob(http.MethodPost, "/v1/publications", "publish", "Publish a file or folder under a key, or its next version", token.Admin),
		func(ctx context.Context, in *struct{ Body PublishBody }) (*startedJob, error) {
			return a.started(a.Publish(ctx, in.Body.request()))
		})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/publications/{id}", "get-publication", "Show a publication with its versions", token.Read), a.getPublication)
	huma.Register(a.huma, startsJob(http.MethodPost, "/v1/publications/{id}/rollback", "roll-back", "Publish an earlier version again, under a new number", token.Admin),
		func(_ context.Context, in *rollbackInput) (*startedJob, error) {
			p, err := a.FindPublication(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return a.started(a.Rollback(p, in.Body.Seq, in.Body.Overrule))
		})
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/publications/{id}", "unpublish", "End a publication; the key and the files stay", token.Admin),
		func(ctx context.Context, in *unpublishInput) (*struct{ Status int }, error) {
			return a.end(ctx, func(ctx context.Context) error { return a.Unpublish(ctx, in.ID, in.KeepHistory) })
		})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/keys", "list-keys", "List the publishing keys, without their secrets", token.Read),
		func(context.Context, *struct{}) (*struct{ Body KeyList }, error) {
			keys, err := a.Keys()
			if err != nil {
				return nil, a.problem(err)
			}
			out := KeyList{Keys: []*view.Key{}}
			for _, k := range keys {
				o := &view.Key{Name: k.Name, PublicKey: hex.EncodeToString(k.Public)}
				view.Complete(o, time.Now())
				out.Keys = append(out.Keys, o)
			}
			return &struct{ Body KeyList }{out}, nil
		})
}

// request returns the request of the daemon.
func (b *PublishBody) request() daemon.PublishRequest {
	r := daemon.PublishRequest{Key: b.Key, Salt: b.Salt, Path: b.Path, Watch: seconds(b.Watch), WebSeeds: b.WebSeeds, Delegation: b.Delegation, Overrule: b.Overrule, Secret: b.Secret}
	if b.Format != "" {
		format := map[string]metainfo.Format{"v1": metainfo.V1, "v2": metainfo.V2, "hybrid": metainfo.Hybrid}[b.Format]
		r.Options = &node.ShareOptions{Format: format, PieceLength: b.PieceLength}
	}
	return r
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (a *api) listPublications(ctx context.Context, in *publicationsInput) (*struct{ Body PublicationList }, error) {
	out := PublicationList{Publications: []*view.History{}}
	for _, p := range a.Publications() {
		out.Publications = append(out.Publications, publication(p))
	}
	if in.Ended {
		ended, err := a.EndedPublications(ctx)
		if err != nil {
			return nil, a.problem(err)
		}
		for i := range ended {
			out.Publications = append(out.Publications, HistoryOf(&ended[i]))
		}
	}
	return &struct{ Body PublicationList }{out}, nil
}

// publication returns the object of a publication.
func publication(p *publish.Publication) *view.History {
	what := p.Describe()
	o, connected := HistoryOf(&what), p.Connected()
	o.Connected = &connected
	return o
}

// HistoryOf returns the object of a recorded publication.
func HistoryOf(what *publish.Published) *view.History {
	o := &view.History{PublicKey: what.Key, Name: what.KeyName, Master: what.Master, Salt: what.Salt, Path: what.Path, Link: what.Link, Target: what.Target.String(), Watch: what.Watch.Seconds(),
		Ended: what.Ended, Private: what.Private, KeepLink: what.KeepLink, Versions: []view.PastVersion{}}
	for _, v := range what.Versions {
		o.Versions = append(o.Versions, view.PastVersion{Seq: v.Seq, InfoHash: v.InfoHash, InfoHashV2: v.InfoHashV2, Name: v.Name, Size: v.Size, FileCount: v.Files,
			Time: v.Time.Format(time.RFC3339Nano)})
		o.InfoHash = v.InfoHash
	}
	view.Complete(o, time.Now())
	return o
}

// holdersWithin limits the lookups of holders and copies.
const holdersWithin = 20 * time.Second

func (a *api) getPublication(ctx context.Context, in *publicationInput) (*struct{ Body *view.History }, error) {
	p, err := a.FindPublication(in.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	o := publication(p)
	ctx, cancel := context.WithTimeout(ctx, holdersWithin)
	defer cancel()
	if in.Holders {
		var g dht.GetReport
		what := p.Describe()
		if g, err = a.Holders(ctx, what.Target, what.ItemSalt); err != nil {
			return nil, a.problem(err)
		}
		o.Holders = view.HoldersOf(&g)
	}
	if in.Copies {
		if err := a.countCopies(ctx, o); err != nil {
			return nil, a.problem(err)
		}
	}
	return &struct{ Body *view.History }{o}, nil
}

// countCopies asks the DHT for the peers that have the newest versions of a publication.
func (a *api) countCopies(ctx context.Context, o *view.History) error {
	d, err := a.Node().DHT()
	if err != nil {
		return err
	}
	var infohashes []string
	for _, v := range slices.Backward(o.Versions) {
		infohashes = append(infohashes, v.InfoHash)
	}
	counted := view.CountCopies(ctx, infohashes, func(ctx context.Context, text string) *view.Copies {
		infohash, err := id.ParseHex(text)
		if err != nil {
			return nil
		}
		r, _ := d.GetPeers(ctx, infohash, true, nil)
		return view.CopiesFound(&r)
	})
	for i := range o.Versions {
		o.Versions[i].Copies = counted[o.Versions[i].InfoHash]
	}
	return nil
}

// end performs an operation that removes something.
func (a *api) end(ctx context.Context, do func(context.Context) error) (*struct{ Status int }, error) {
	return a.removed(within(ctx, do))
}
