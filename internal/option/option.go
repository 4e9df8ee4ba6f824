// Package option has types of values with a text form, as flags, environment variables, the
// settings file and requests to a daemon give them.
//
// Each type is a pflag.Value, and List also a pflag.SliceValue. Sizes are in bytes and rates in
// bytes a second. The error for an invalid text says in one sentence what is expected.
package option

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Value is a variable that has a text form.
type Value interface {
	String() string
	Set(string) error
	Type() string // what stands for a value in a help text
}

// envPrefix is the prefix of environment variables: --no-dht is SEEDBED_NO_DHT.
const envPrefix = "SEEDBED_"

// EnvName returns the environment variable for a flag.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

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
			return fmt.Errorf("%q is not one of %s; did you mean %s?", v, strings.Join(w.Words, ", "), near)
		}
		return fmt.Errorf("%q is not one of %s", v, strings.Join(w.Words, ", "))
	}
	w.Value = v
	return nil
}

// A List is a repeatable flag. Check, if not nil, validates each value.
type List struct {
	To    *[]string
	Arg   string
	Check func(string) error
	given bool // the default has been replaced
}

// Type implements pflag.Value.
func (l *List) Type() string { return l.Arg }

// String implements pflag.Value.
func (l *List) String() string { return strings.Join(*l.To, ",") }

// Set implements pflag.Value. The first call replaces the default, later ones add to it.
func (l *List) Set(v string) error {
	if !l.given {
		*l.To, l.given = nil, true
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
	*l.To = append(*l.To, v)
	return nil
}

// Replace implements pflag.SliceValue.
func (l *List) Replace(values []string) error {
	*l.To, l.given = nil, true
	for _, v := range values {
		if err := l.Append(v); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice implements pflag.SliceValue.
func (l *List) GetSlice() []string { return *l.To }

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

// ParseNetwork returns the network that v is: an address, or a network such as 192.0.2.0/24.
func ParseNetwork(v string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(v); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(v)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a network", v)
	}
	return p, nil
}

// CheckNetwork returns an error if v is not what ParseNetwork takes.
func CheckNetwork(v string) error {
	_, err := ParseNetwork(v)
	return err
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

// A Number is a flag for an integer.
type Number struct {
	To   *int
	Min  int
	Max  int // 0: none
	Also int // another allowed value
}

// Type implements pflag.Value.
func (n *Number) Type() string { return "N" }

// String implements pflag.Value.
func (n *Number) String() string { return strconv.Itoa(*n.To) }

// Set implements pflag.Value.
func (n *Number) Set(v string) error {
	i, err := strconv.Atoi(v)
	if err != nil {
		return fmt.Errorf("%q is not a whole number", v)
	}
	if i < n.Min && i != n.Also {
		return fmt.Errorf("%d is too small; the minimum is %d", i, n.Min)
	}
	if n.Max > 0 && i > n.Max {
		return fmt.Errorf("%d is too large; the maximum is %d", i, n.Max)
	}
	*n.To = i
	return nil
}

// MaxRatio is the largest Ratio.
const MaxRatio = 1e9

// A Ratio is a flag for a number between 0 and MaxRatio.
type Ratio struct{ To *float64 }

// Type implements pflag.Value.
func (r *Ratio) Type() string { return "R" }

// String implements pflag.Value.
func (r *Ratio) String() string { return strconv.FormatFloat(*r.To, 'g', -1, 64) }

// Set implements pflag.Value.
func (r *Ratio) Set(v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0) || f > MaxRatio {
		return fmt.Errorf("%q is not a ratio such as 1.5", v)
	}
	*r.To = f
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

// A Path is a flag for the name of a file or folder.
type Path struct {
	To  *string
	Arg string
}

// Type implements pflag.Value.
func (p *Path) Type() string { return p.Arg }

// String implements pflag.Value.
func (p *Path) String() string { return *p.To }

// Set implements pflag.Value.
func (p *Path) Set(v string) error {
	*p.To = v
	return nil
}

// An IP is a flag for an address without a port.
type IP struct {
	To  *netip.Addr
	Arg string
}

// Type implements pflag.Value.
func (i *IP) Type() string { return i.Arg }

// String implements pflag.Value.
func (i *IP) String() string {
	if !i.To.IsValid() {
		return ""
	}
	return i.To.String()
}

// Set implements pflag.Value.
func (i *IP) Set(v string) error {
	ip, err := netip.ParseAddr(v)
	if err != nil {
		return fmt.Errorf("%q is not an IP address", v)
	}
	*i.To = ip.Unmap()
	return nil
}

// A Bool is a flag without a value.
type Bool struct{ To *bool }

// Type implements pflag.Value.
func (y *Bool) Type() string { return "bool" }

// String implements pflag.Value.
func (y *Bool) String() string { return strconv.FormatBool(*y.To) }

// IsBoolFlag says that the flag needs no value.
func (y *Bool) IsBoolFlag() bool { return true }

// Set implements pflag.Value.
func (y *Bool) Set(v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", v)
	}
	*y.To = b
	return nil
}

// A Switch is a flag for on or off. On is the default, so the variable says whether it is off.
type Switch struct{ Off *bool }

var onOff = []string{"on", "off"}

// Type implements pflag.Value.
func (s *Switch) Type() string { return strings.Join(onOff, "|") }

// Choices returns the words.
func (s *Switch) Choices() []string { return onOff }

// String implements pflag.Value.
func (s *Switch) String() string {
	if *s.Off {
		return "off"
	}
	return "on"
}

// Set implements pflag.Value.
func (s *Switch) Set(v string) error {
	w := Word{Words: onOff}
	if err := w.Set(v); err != nil {
		return err
	}
	*s.Off = v == "off"
	return nil
}

// A MinSize is a flag for a Size with a minimum, in bytes.
type MinSize struct {
	*Size
	Min int64
}

// Set implements pflag.Value.
func (s *MinSize) Set(v string) error {
	n, err := ParseSize(v)
	if err == nil && n < s.Min {
		least := Size(s.Min)
		err = fmt.Errorf("%s is too small; the minimum is %s", v, least.String())
	}
	if err == nil {
		*s.Size = Size(n)
	}
	return err
}
