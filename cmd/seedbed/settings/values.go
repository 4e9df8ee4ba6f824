package settings

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// A Word is a flag for one of several words. The first is the default.
type Word struct {
	Value string
	Words []string
}

// Type implements pflag.Value.
func (w *Word) Type() string { return strings.Join(w.Words, "|") }

// Choices returns the words.
func (w *Word) Choices() []string { return w.Words }

// String implements pflag.Value.
func (w *Word) String() string { return w.Value }

// Set implements pflag.Value.
func (w *Word) Set(v string) error {
	if !slices.Contains(w.Words, v) {
		if near := Nearest(v, w.Words); near != "" {
			return fmt.Errorf("%q is none of %s; did you mean %s?", v, strings.Join(w.Words, ", "), near)
		}
		return fmt.Errorf("%q is none of %s", v, strings.Join(w.Words, ", "))
	}
	w.Value = v
	return nil
}

// A List is a repeatable flag. Check, if not nil, validates each value.
type List struct {
	Values []string
	Arg    string
	Check  func(string) error
	given  bool // the default has been replaced
}

var _ pflag.SliceValue = (*List)(nil)

// Type implements pflag.Value.
func (l *List) Type() string { return l.Arg }

// String implements pflag.Value.
func (l *List) String() string { return strings.Join(l.Values, ",") }

// Set implements pflag.Value. The first call replaces the default, later ones add to it.
func (l *List) Set(v string) error {
	if !l.given {
		l.Values, l.given = nil, true
	}
	return l.Append(v)
}

// Append implements pflag.SliceValue.
func (l *List) Append(v string) error {
	if l.Check != nil {
		if err := l.Check(v); err != nil {
			return err
		}
	}
	l.Values = append(l.Values, v)
	return nil
}

// Replace implements pflag.SliceValue.
func (l *List) Replace(values []string) error {
	l.Values, l.given = nil, true
	for _, v := range values {
		if err := l.Append(v); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice implements pflag.SliceValue.
func (l *List) GetSlice() []string { return l.Values }

// An Addr is a flag for HOST:PORT.
type Addr string

// Type implements pflag.Value.
func (a *Addr) Type() string { return "HOST:PORT" }

// String implements pflag.Value.
func (a *Addr) String() string { return string(*a) }

// Set implements pflag.Value.
func (a *Addr) Set(v string) error {
	if err := CheckAddr(v); err != nil {
		return err
	}
	*a = Addr(v)
	return nil
}

// CheckAddr returns an error if v is not HOST:PORT with a port number.
func CheckAddr(v string) error {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf("%q is not of the form HOST:PORT, as in 192.0.2.1:6881, [2001:db8::1]:6881 or :6881", v)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port between 0 and 65535", port)
	}
	return nil
}

// CheckPeer returns an error if v cannot be dialled.
func CheckPeer(v string) error {
	if err := CheckAddr(v); err != nil {
		return err
	}
	if host, port, _ := net.SplitHostPort(v); host == "" || port == "0" {
		return fmt.Errorf("%q needs a host and a port, as in 192.0.2.1:6881", v)
	}
	return nil
}

// checkBootstrap returns an error if v is neither "none" nor HOST:PORT.
func checkBootstrap(v string) error {
	if v == none {
		return nil
	}
	return CheckPeer(v)
}

// none stands for an empty list of bootstrap hosts.
const none = "none"

// A number is a flag for an integer.
type number struct {
	to   *int
	min  int
	also int // another allowed value
}

func (n *number) Type() string   { return "N" }
func (n *number) String() string { return strconv.Itoa(*n.to) }

func (n *number) Set(v string) error {
	i, err := strconv.Atoi(v)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", v)
	}
	if i < n.min && i != n.also {
		return fmt.Errorf("%d is too small; the minimum is %d", i, n.min)
	}
	*n.to = i
	return nil
}

// A ratio is a flag for a number that is not negative.
type ratio struct{ to *float64 }

func (r *ratio) Type() string   { return "R" }
func (r *ratio) String() string { return strconv.FormatFloat(*r.to, 'g', -1, 64) }

func (r *ratio) Set(v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0) || f > 1e9 {
		return fmt.Errorf("%q is not a ratio such as 1.5", v)
	}
	*r.to = f
	return nil
}

// A Span is a flag for a duration that is not negative.
type Span struct{ To *time.Duration }

// Type implements pflag.Value.
func (s Span) Type() string { return "D" }

// String implements pflag.Value.
func (s Span) String() string {
	if *s.To == 0 {
		return "0"
	}
	text := s.To.String()
	text = strings.TrimSuffix(text, "m0s")
	if len(text) < len(s.To.String()) {
		text += "m"
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Set implements pflag.Value.
func (s Span) Set(v string) error {
	d, err := time.ParseDuration(v)
	switch {
	case err != nil && v != "" && strings.Trim(v, "0123456789") == "":
		return fmt.Errorf("%q needs a unit, as in %ss, %sm or %sh", v, v, v, v)
	case err != nil:
		return fmt.Errorf("%q is not a length of time such as 90s, 15m or 2h", v)
	case d < 0:
		return errors.New("it must not be negative")
	}
	*s.To = d
	return nil
}

// A path is a flag for the name of a file or folder.
type path struct {
	to  *string
	arg string
}

func (p *path) Type() string   { return p.arg }
func (p *path) String() string { return *p.to }

func (p *path) Set(v string) error {
	*p.to = v
	return nil
}

// A yes is a flag without a value.
type yes struct{ to *bool }

func (y *yes) Type() string     { return "bool" }
func (y *yes) String() string   { return strconv.FormatBool(*y.to) }
func (y *yes) IsBoolFlag() bool { return true }

func (y *yes) Set(v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	*y.to = b
	return nil
}

// A sizeFrom is a flag for a Size with a minimum.
type sizeFrom struct {
	*Size
	min int64
}

func (s *sizeFrom) Set(v string) error {
	n, err := ParseSize(v)
	if err == nil && n < s.min {
		least := Size(s.min)
		err = fmt.Errorf("%s is too small; the minimum is %s", v, least.String())
	}
	if err == nil {
		*s.Size = Size(n)
	}
	return err
}
