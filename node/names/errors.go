package names

import (
	"errors"
	"fmt"
	"time"

	"seedbed/node"
)

// ChangedError reports that a domain names another publication than the pinned one.
type ChangedError struct {
	Domain        string
	Pinned, Found Publication
	Since         time.Time // when Pinned was pinned
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s names another publication than before, which is refused: the DNS has %s now, and %s is pinned since %s",
		e.Domain, e.Found, e.Pinned, e.Since.Format(time.DateOnly))
}

func changed(pin *Pin, found *Record) error {
	return node.NewFault(node.FaultConflict, &ChangedError{pin.Domain, pin.Publication, found.Publication, pin.Since},
		"ask the publisher, over another way than the DNS, whether the change is intended; if it is, accept it with --accept-change, or in the page")
}

// NoRecordError reports that the DNS has no record of a publication for a domain.
type NoRecordError struct{ Domain string }

func (e *NoRecordError) Error() string {
	return fmt.Sprintf("%s names no publication: the DNS has no TXT record with %s at %s%s, and no DNSLink record for BitTorrent", e.Domain, keyWord, keyLabel, e.Domain)
}

func noRecord(domain string) error {
	return node.NewFault(node.FaultVanished, &NoRecordError{domain}, "seedbed publish --key NAME --dns-record DOMAIN prints the record to add")
}

// RecordError reports a record that is meant for this but cannot be used.
type RecordError struct {
	Name string // of the TXT record
	Err  error
}

func (e *RecordError) Error() string { return fmt.Sprintf("the TXT record of %s: %v", e.Name, e.Err) }
func (e *RecordError) Unwrap() error { return e.Err }

func badRecord(name string, err error) error {
	return node.NewFault(node.FaultVanished, &RecordError{name, err}, "tell the owner of the domain")
}

// LookupError reports that a lookup failed: the resolver cannot be reached, or has no answer at
// the moment.
type LookupError struct {
	Name string // of the TXT record
	Err  error
}

func (e *LookupError) Error() string { return fmt.Sprintf("cannot look up %s: %v", e.Name, e.Err) }
func (e *LookupError) Unwrap() error { return e.Err }

func failed(name string, err error) error {
	hint := "try again later, or choose another resolver with --resolver"
	if errors.Is(err, errProxy) {
		hint = "choose one with --resolver: HOST:PORT, which is asked over TCP, or https://HOST/dns-query"
	}
	return node.NewFault(node.FaultNetwork, &LookupError{name, err}, hint)
}
