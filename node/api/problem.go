package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/excerpt"
	"seedbed/internal/objectstore"
	"seedbed/node"
	"seedbed/node/catalogue"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/stream"
)

// A Problem is the answer to a request that failed (RFC 9457).
type Problem struct {
	Title  string         `json:"title" doc:"The text of the status."`
	Status int            `json:"status" doc:"The HTTP status."`
	Detail string         `json:"detail" doc:"What happened, and to what."`
	Hint   string         `json:"hint,omitempty" doc:"What to do about it."`
	Kind   node.FaultKind `json:"kind,omitempty" doc:"The kind of the error, for programs; left out if the error has none."`
	Errors []string       `json:"errors,omitempty" doc:"What is wrong with the request, one by one."`
	retry  int            // seconds until it is worth trying again, for Retry-After; 0: not known
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers of the answer.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	return h
}

// ContentType returns the media type of problem details.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

const (
	// maxErrors and maxError limit what an answer says about a request that does not fit the types:
	// the number of errors, and the bytes of each, which has the value.
	maxErrors = 20
	maxError  = 500
)

func init() {
	// The library calls this for requests that do not fit the types.
	huma.NewError = func(status int, text string, errs ...error) huma.StatusError {
		if errors.Is(errors.Join(errs...), errTooManyValues) {
			status = http.StatusRequestEntityTooLarge
		}
		p := &Problem{Title: http.StatusText(status), Status: status, Detail: text}
		for _, err := range errs[:min(len(errs), maxErrors)] {
			if err != nil {
				p.Errors = append(p.Errors, excerpt.Of(err.Error(), maxError))
			}
		}
		return p
	}
}

// problem returns the answer for an error of an operation.
func (a *api) problem(err error) error {
	if err == nil {
		return nil
	}
	p := &Problem{Status: statusOf(err), Detail: err.Error(), Hint: a.cfg.Hint(err), Kind: node.KindOf(err)}
	p.Title = http.StatusText(p.Status)
	if p.Kind == node.FaultNetwork || objectstore.KindOf(err) == objectstore.Unavailable || errors.Is(err, stream.ErrStalled) {
		p.retry = stream.RetryAway
	}
	return p
}

// statusOf returns the status for an error of an operation.
func statusOf(err error) int {
	var ambiguous *daemon.AmbiguousError
	var fault *node.Fault
	switch {
	case errors.Is(err, node.ErrUnknown), errors.Is(err, token.ErrUnknown), errors.Is(err, node.ErrNoFile), errors.Is(err, daemon.ErrNoCategory), errors.Is(err, daemon.ErrNoPublication), errors.Is(err, daemon.ErrNoJob), errors.Is(err, daemon.ErrNoPin), errors.Is(err, catalogue.ErrAbsent):
		return http.StatusNotFound
	case errors.As(err, &ambiguous):
		return http.StatusBadRequest
	case errors.Is(err, node.ErrDuplicate), errors.Is(err, node.ErrLocked), errors.Is(err, node.ErrEnded), errors.Is(err, node.ErrNoMetadata), errors.Is(err, node.ErrNotSelected):
		return http.StatusConflict
	case errors.Is(err, node.ErrClosed), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, stream.ErrStalled):
		return http.StatusGatewayTimeout
	case errors.As(err, &fault):
		return statusOfFault(fault.Kind)
	case objectstore.KindOf(err) == objectstore.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func statusOfFault(k node.FaultKind) int {
	switch k {
	case node.FaultUsage, node.FaultSelection:
		return http.StatusBadRequest
	case node.FaultExists, node.FaultConflict, node.FaultBusy, node.FaultIncomplete, node.FaultMissing:
		return http.StatusConflict
	case node.FaultVanished: // what the request names does not exist
		return http.StatusNotFound
	case node.FaultPermission:
		return http.StatusForbidden
	case node.FaultFull:
		return http.StatusInsufficientStorage
	case node.FaultNetwork:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	p.Title = http.StatusText(p.Status)
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // an error means that the client has gone
}
