package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"seedbed/internal/objectstore"
)

const (
	// clockLimit is the difference of the clocks at which stores refuse requests, and clockNotice one that should be put right.
	clockLimit  = 15 * time.Minute
	clockNotice = time.Minute
	// maxTried is how many objects are looked at for one that is worth reading.
	maxTried = 1000
)

// ExamineStore checks an object store and calls report with each finding: whether it answers, its clock, what the credentials allow, and ranges.
// With write, it also writes and deletes small objects below .seedbed/, and checks whether the store looks at the conditions of
// writes. It returns the error of ctx if ctx ends.
func ExamineStore(ctx context.Context, s *objectstore.Store, write bool, report func(Finding)) error {
	e := storeExamination{s: s, report: report}
	if !e.address(ctx) {
		return ctx.Err()
	}
	o, ok := e.listing(ctx)
	if !ok {
		return ctx.Err()
	}
	e.reading(ctx, o)
	if write && e.writing(ctx) {
		e.conditions(ctx)
	}
	return ctx.Err()
}

type storeExamination struct {
	s      *objectstore.Store
	report func(Finding)
}

// fine reports that something works.
func (e *storeExamination) fine(what, text string, began time.Time) {
	e.report(Finding{Step: StepStore, What: what, Text: text, Took: time.Since(began)})
}

// bad reports that something does not work, unless ctx has ended. advice is for a refusal; other errors have their own.
func (e *storeExamination) bad(ctx context.Context, what, text string, err error, advice string) {
	if ctx.Err() != nil {
		return
	}
	var failed *objectstore.Error
	if errors.As(err, &failed) && (failed.Kind != objectstore.Denied || objectstore.AccessHint(err) != "") {
		advice = failed.Hint()
	}
	e.report(Finding{Step: StepStore, What: what, Verdict: Bad, Text: fmt.Sprintf("%s: %v", text, err), Advice: advice})
}

// address checks that the store answers, with about the time of this machine.
func (e *storeExamination) address(ctx context.Context) bool {
	began := time.Now()
	ahead, known, err := e.s.Clock(ctx)
	if err != nil {
		e.bad(ctx, "address", "no answer from "+e.s.PublicURL(""), err, "")
		return false
	}
	style := "host"
	if e.s.HasPathStyle() {
		style = "path"
	}
	e.report(Finding{Step: StepStore, What: "address", Text: fmt.Sprintf("%s answers; the bucket is in the %s (--store-style)", e.s.PublicURL(""), style), Took: time.Since(began),
		Data: map[string]any{"url": e.s.PublicURL(""), "style": style}})
	if !known {
		return true
	}
	f := Finding{Step: StepStore, What: "clock", Text: "that of the store is about that of this machine", Data: map[string]any{"ahead_s": int64(ahead / time.Second)}}
	if ahead.Abs() >= clockNotice {
		side := "ahead of"
		if ahead < 0 {
			side = "behind"
		}
		f.Verdict, f.Text = Notice, fmt.Sprintf("that of the store is %v %s that of this machine", ahead.Abs().Round(time.Second), side)
		f.Advice = "set the clock of this machine (NTP): stores refuse requests whose time is off by 15 minutes"
		if ahead.Abs() >= clockLimit && !e.s.IsAnonymous() {
			f.Verdict = Bad
		}
	}
	e.report(f)
	return true
}

// listing checks the credentials and returns an object that can be read, or the zero Object if there is none.
func (e *storeExamination) listing(ctx context.Context) (found objectstore.Object, ok bool) {
	began := time.Now()
	const advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to credentials that may list and read (s3:ListBucket, s3:GetObject)"
	if err := e.s.CheckCredentials(); err != nil {
		e.bad(ctx, "credentials", "none are found", err, advice+"; --store-anonymous is for a public store")
		return found, false
	}
	n := 0
	for o, err := range e.s.List(ctx, "") {
		if err != nil {
			e.bad(ctx, "listing", "not possible", err, advice)
			return found, false
		}
		if n++; o.Size > 1 || n == maxTried {
			found = o
			break
		}
	}
	text := "the credentials are accepted, and allow to list " + e.s.Location().String()
	if e.s.IsAnonymous() {
		text = "everybody may list " + e.s.Location().String() + "; no credentials are used"
	}
	e.fine("listing", text, began)
	return found, true
}

// reading reads a part of an object, and checks whether others can read it.
func (e *storeExamination) reading(ctx context.Context, o objectstore.Object) {
	if o.Size < 2 {
		e.report(Finding{Step: StepStore, What: "reading", Verdict: Notice, Text: "not checked: there is no object with content", Advice: "put the files there first"})
		return
	}
	began := time.Now()
	body, _, err := e.s.Read(ctx, o, 1, 1)
	if err == nil {
		_, err = io.ReadFull(body, make([]byte, 1))
		_ = body.Close()
	}
	if err != nil {
		e.bad(ctx, "reading", "cannot read a part of an object", err, "use credentials that may read (s3:GetObject)")
		return
	}
	e.fine("reading", "objects can be read in parts (ranges)", began)
	isPublic, err := e.s.IsPublic(ctx, o.Name)
	f := Finding{Step: StepStore, What: "web seed", Text: "objects are private, so the store is not added to torrents as a web seed", Data: map[string]any{"public": isPublic}}
	switch {
	case isPublic:
		f.Text = "everybody can read the objects, so the store is added to torrents as a web seed"
	case err != nil && ctx.Err() != nil:
		return
	case err != nil:
		f.Verdict, f.Text = Notice, "the store is not added to torrents as a web seed: "+err.Error()
	}
	e.report(f)
}

// writing writes and deletes an object.
func (e *storeExamination) writing(ctx context.Context) bool {
	began := time.Now()
	name := checkFolder + rand.Text()
	const advice = "to publish, and to change the catalogue, use credentials that may write and delete below .seedbed/ (s3:PutObject, s3:DeleteObject)"
	_, err := e.s.Write(ctx, name, []byte("1"), "text/plain", objectstore.Condition{})
	if err != nil {
		e.bad(ctx, "writing", "cannot write", err, advice)
		return false
	}
	if err := e.s.Remove(ctx, name); err != nil {
		e.bad(ctx, "writing", "cannot delete", err, advice)
		return false
	}
	e.fine("writing", "objects below "+e.s.Location().Name(objectstore.OwnFolder+"/")+" can be written and deleted", began)
	return true
}

// checkFolder is where this package writes.
const checkFolder = objectstore.OwnFolder + "/check/"

// conditions checks the conditions of writes.
func (e *storeExamination) conditions(ctx context.Context) {
	began := time.Now()
	err := e.s.CheckConditions(ctx, checkFolder)
	switch {
	case err == nil:
		e.fine("conditional writes", "they work, so several publishers can share a key", began)
	case errors.Is(err, objectstore.ErrNoConditions) || objectstore.LacksConditions(err):
		e.report(Finding{Step: StepStore, What: "conditional writes", Verdict: Notice, Text: err.Error() + ": only one publisher can use the store, and others are refused",
			Advice: "to publish from several nodes, use a store that knows If-None-Match and If-Match for writes"})
	default:
		e.bad(ctx, "conditional writes", "cannot be checked", err, "")
	}
}
