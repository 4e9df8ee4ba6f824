package objectstore

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// role is the role of a machine, whose service may be slow.
type role struct {
	credentials.Expiry
	isSlow bool
	asked  int
}

func (r *role) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	r.asked++
	if r.isSlow {
		return credentials.Value{}, errSilent
	}
	end := time.Now().Add(time.Hour)
	r.SetExpiration(end, 10*time.Minute)
	return credentials.Value{AccessKeyID: "key", SecretAccessKey: "secret", Expiration: end, SignerType: credentials.SignatureV4}, nil
}

func (r *role) Retrieve() (credentials.Value, error) { return r.RetrieveWithCredContext(nil) }

// Requests of a machine with a role are never anonymous, although the service that gives the credentials is slow.
func TestCredentialsThatCannotBeRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &role{}
		c := credentials.New(&steady{from: &credentials.Chain{Providers: []credentials.Provider{r}}})
		if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID != "key" {
			t.Fatal(v, err)
		}
		r.isSlow = true
		time.Sleep(55 * time.Minute)
		for range 100 {
			if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID != "key" {
				t.Fatal("old credentials that are still valid:", v, err)
			}
		}
		if r.asked != 2 {
			t.Errorf("the service was asked %d times", r.asked)
		}
		time.Sleep(10 * time.Minute)
		if v, err := c.GetWithContext(nil); err == nil || kindOf(err) != Unavailable {
			t.Error("expired credentials:", v, err)
		}
		r.isSlow = false
		if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID != "key" {
			t.Error("when it answers again:", v, err)
		}
	})
}

// That a machine has no credentials is found out once a minute, not with every request.
func TestNoCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &role{isSlow: true}
		c := credentials.New(&steady{from: &credentials.Chain{Providers: []credentials.Provider{r}}})
		for range 100 {
			if v, err := c.GetWithContext(nil); err != nil || !v.SignerType.IsAnonymous() {
				t.Fatal(v, err)
			}
		}
		if r.asked != 1 {
			t.Errorf("the service was asked %d times", r.asked)
		}
		r.isSlow = false
		time.Sleep(absentTime)
		if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID != "key" {
			t.Error("when it answers:", v, err)
		}
	})
}

// The keys of the machine's role do not travel through a proxy.
func TestTheRoleOfTheMachineIsAskedDirectly(t *testing.T) {
	errProxy, errDirect := errors.New("proxy"), errors.New("direct")
	c := Config{
		Dial:       func(context.Context, string, string) (net.Conn, error) { return nil, errProxy },
		DialDirect: func(context.Context, string, string) (net.Conn, error) { return nil, errDirect },
	}
	for address, want := range map[string]error{
		"169.254.169.254:80": errDirect, "[fe80::1]:80": errDirect, "127.0.0.1:51679": errDirect, "localhost:80": errDirect,
		"sts.amazonaws.com:443": errProxy, "93.184.216.34:80": errProxy,
	} {
		if _, err := c.dialRole(t.Context(), "tcp", address); err != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}
