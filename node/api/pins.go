package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/daemon/token"
	"seedbed/node/names"
	"seedbed/node/pins"
	"seedbed/node/view"
)

// PinPath is the path parameter of operations on one pin.
type PinPath struct {
	ID string `path:"id" maxLength:"256" doc:"The id of the pin, the beginning of it (at least 4 digits), or its name."`
}

// PinListPath is the path parameter of operations on one list of pins.
type PinListPath struct {
	ID string `path:"id" maxLength:"64" doc:"The id of the list, or the beginning of it (at least 4 digits)."`
}

type removePinInput struct {
	PinPath
	Data bool `query:"data" doc:"Also delete what the pin has fetched."`
}

// Pins is what a daemon keeps alive.
type Pins struct {
	Pins  []*view.Pin `json:"pins" doc:"The oldest first."`
	Size  int64       `json:"size" doc:"The bytes that all pins use."`
	Quota int64       `json:"quota" doc:"The bytes that all pins together may use; 0 means no limit."`
}

// PinBody describes a pin.
type PinBody struct {
	Link  string `json:"link" minLength:"1" maxLength:"262144" doc:"A magnet link with a public key (xs=urn:btpk:) or an infohash, or the domain name of a publication."`
	Name  string `json:"name,omitempty" maxLength:"256" doc:"The name to show; by default that of the link."`
	Quota int64  `json:"quota,omitempty" minimum:"0" doc:"A version with more bytes is not fetched; 0 means no limit."`

	AcceptChange bool `json:"accept_change,omitempty" doc:"Pin the key that the name has now in place of the key that was pinned."`
}

// PinLists is the lists of pins that a daemon subscribes to.
type PinLists struct {
	Lists []*view.PinList `json:"lists" doc:"In the order of subscription."`
}

// SubscribeBody describes a subscription to a list of pins.
type SubscribeBody struct {
	Link  string `json:"link" minLength:"1" maxLength:"262144" doc:"A magnet link with the public key of the list (xs=urn:btpk:), or its domain name."`
	Quota int64  `json:"quota" minimum:"1" doc:"The bytes that all pins of the list together may use."`
	Max   int    `json:"max,omitempty" minimum:"0" maximum:"1000" doc:"How many links of the list are pinned; by default 100."`

	AcceptChange bool `json:"accept_change,omitempty" doc:"Pin the key that the name has now in place of the key that was pinned."`
}

// PinListBody says under which key the list of the user's pins is published.
type PinListBody struct {
	Key  string `json:"key" minLength:"1" maxLength:"64" doc:"The name of a key on the daemon's machine. It is created if it does not exist."`
	Salt string `json:"salt,omitempty" maxLength:"64" doc:"Distinguishes several publications of one key; by default pins."`
}

type onePin struct {
	Status int
	Body   *view.Pin
}

type onePinList struct {
	Status int
	Body   *view.PinList
}

func (a *api) addPins() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/pins", "list-pins", "List the pins", token.Read), a.listPins)
	add := operation(http.MethodPost, "/v1/pins", "add-pin", "Keep the content of a link alive", token.Add)
	add.DefaultStatus = http.StatusCreated
	add.Description = "Answers 201, or 200 if the user has pinned it already; its name and quota are replaced then."
	huma.Register(a.huma, add, a.addPin)
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/pins/{id}", "remove-pin", "Remove a pin of the user; it stays if a list names it as well", token.Admin),
		func(ctx context.Context, in *removePinInput) (*struct{ Status int }, error) {
			m, p, err := a.FindPin(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return a.end(ctx, func(ctx context.Context) error { return a.RemovePin(ctx, m, p.ID, in.Data) })
		})
	huma.Register(a.huma, startsJob(http.MethodPost, "/v1/pins/publish", "publish-pins", "Publish the list of the user's pins under a key, and keep it up to date", token.Admin),
		func(ctx context.Context, in *struct{ Body PinListBody }) (*startedJob, error) {
			return a.started(a.PublishPins(ctx, in.Body.Key, in.Body.Salt))
		})
	huma.Register(a.huma, operation(http.MethodGet, "/v1/pin-lists", "list-pin-lists", "List the lists of pins that are subscribed to", token.Read), a.listPinLists)
	subscribe := operation(http.MethodPost, "/v1/pin-lists", "subscribe-pins", "Pin what a published list of pins names, and follow its changes", token.Admin)
	subscribe.DefaultStatus = http.StatusCreated
	subscribe.Description = "Answers 201, or 200 if the list is subscribed to already; its quota and number are replaced then."
	huma.Register(a.huma, subscribe, a.subscribePins)
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/pin-lists/{id}", "unsubscribe-pins", "End a subscription; the pins that only this list names end, and their data is deleted", token.Admin),
		func(ctx context.Context, in *PinListPath) (*struct{ Status int }, error) {
			m, l, err := a.FindPinList(in.ID)
			if err != nil {
				return nil, a.problem(err)
			}
			return a.end(ctx, func(ctx context.Context) error { return a.UnsubscribePins(ctx, m, l.ID) })
		})
}

func (a *api) listPins(context.Context, *struct{}) (*struct{ Body Pins }, error) {
	m, err := a.Pins()
	if err != nil {
		return nil, a.problem(err)
	}
	out := Pins{Pins: []*view.Pin{}, Size: m.Used(), Quota: m.Quota()}
	for _, s := range m.Pins() {
		out.Pins = append(out.Pins, pinOf(&s))
	}
	return &struct{ Body Pins }{out}, nil
}

func (a *api) addPin(ctx context.Context, in *struct{ Body PinBody }) (*onePin, error) {
	m, err := a.Pins()
	if err != nil {
		return nil, a.problem(err)
	}
	link, err := a.linkOf(ctx, in.Body.Link, in.Body.AcceptChange)
	if err != nil {
		return nil, a.problem(err)
	}
	s, added, err := m.Add(ctx, pins.AddConfig{Link: link, Name: in.Body.Name, Quota: in.Body.Quota})
	if err != nil {
		return nil, a.problem(err)
	}
	return &onePin{statusOfAdded(added), pinOf(&s)}, nil
}

func (a *api) listPinLists(context.Context, *struct{}) (*struct{ Body PinLists }, error) {
	m, err := a.Pins()
	if err != nil {
		return nil, a.problem(err)
	}
	out := PinLists{Lists: []*view.PinList{}}
	for _, s := range m.Subscriptions() {
		out.Lists = append(out.Lists, pinListOf(&s))
	}
	return &struct{ Body PinLists }{out}, nil
}

func (a *api) subscribePins(ctx context.Context, in *struct{ Body SubscribeBody }) (*onePinList, error) {
	m, err := a.Pins()
	if err != nil {
		return nil, a.problem(err)
	}
	link, err := a.linkOf(ctx, in.Body.Link, in.Body.AcceptChange)
	if err != nil {
		return nil, a.problem(err)
	}
	s, added, err := m.Subscribe(ctx, pins.SubscribeConfig{Link: link, Quota: in.Body.Quota, Max: in.Body.Max})
	if err != nil {
		return nil, a.problem(err)
	}
	return &onePinList{statusOfAdded(added), pinListOf(&s)}, nil
}

// linkOf returns the link that a client gives, or that of the publication if it gives a domain name.
func (a *api) linkOf(ctx context.Context, text string, acceptChange bool) (*magnet.Link, error) {
	if names.IsName(text) {
		return a.ResolveName(ctx, text, acceptChange)
	}
	link, err := magnet.ParseBare(text)
	if err != nil {
		return nil, node.NewFault(node.FaultUsage, err, "")
	}
	return link, nil
}

func statusOfAdded(added bool) int {
	if added {
		return http.StatusCreated
	}
	return http.StatusOK
}

// pinOf returns the object of a pin.
func pinOf(s *pins.Status) *view.Pin {
	o := &view.Pin{ID: s.ID.String(), Link: s.Link.String(), Name: s.Name, Dir: s.Dir, Added: s.Added.Format(time.RFC3339Nano), State: string(s.State), Error: s.Reason,
		Size: s.Size, Quota: s.Quota, Own: s.Own}
	o.InfoHash = s.InfoHash
	for _, l := range s.Lists {
		o.Lists = append(o.Lists, l.String())
	}
	if s.Seq != 0 {
		o.Seq = &s.Seq
	}
	if s.Newest != 0 {
		o.Newest = &s.Newest
	}
	view.Complete(o, time.Now())
	return o
}

// pinListOf returns the object of a list of pins.
func pinListOf(s *pins.Subscription) *view.PinList {
	o := &view.PinList{ID: s.ID.String(), Link: s.Link.String(), Quota: s.Quota, Size: s.Size, Max: s.Max, Named: s.Named, Pins: s.Pins, Skipped: s.Skipped, Error: s.Problem}
	if s.Seq != 0 {
		o.Seq = &s.Seq
	}
	view.Complete(o, time.Now())
	return o
}
