package settings

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"seedbed/internal/option"
	"seedbed/internal/userfile"
	"seedbed/node/daemon"
)

// A Source is the origin of a value, in rising precedence.
type Source uint8

const (
	FromDefault Source = iota
	FromFile
	FromEnv
	FromFlag
)

// String returns the name of the source, as the command settings prints it.
func (s Source) String() string {
	return [...]string{"default", "settings file", "environment", "command line"}[s]
}

var _ pflag.SliceValue = (*option.List)(nil)

// SetEnv sets the flags that are in the environment but not on the command line. Lists take
// several values, separated by spaces or commas.
func SetEnv(fs *pflag.FlagSet) error {
	return set(fs, func(f *pflag.Flag) ([]string, string) {
		name := option.EnvName(f.Name)
		v := os.Getenv(name)
		if v == "" {
			return nil, ""
		}
		values := []string{v}
		if _, ok := f.Value.(pflag.SliceValue); ok {
			values = strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' })
		}
		return values, "environment variable " + name
	}, FromEnv)
}

// Set sets the flags that are neither on the command line nor in the environment.
func (f *File) Set(fs *pflag.FlagSet, command string) error {
	return set(fs, func(flag *pflag.Flag) ([]string, string) {
		from := fmt.Sprintf("%s: %s", f.Path, flag.Name)
		if v, ok := f.commands[command][flag.Name]; ok {
			return v, from
		}
		if flag.Annotations[annotation] != nil {
			return f.top[flag.Name], from
		}
		return nil, ""
	}, FromFile)
}

// SetState sets the state directory as Set does, so that the state can be read.
func (f *File) SetState(fs *pflag.FlagSet, command string) error {
	state := fs.Lookup("state")
	if state == nil || state.Changed {
		return nil
	}
	v := f.commands[command]["state"]
	if v == nil {
		v = f.top["state"]
	}
	return setFlag(state, v, f.Path+": state", FromFile)
}

// sourceOf is the annotation with the source of a flag's value.
const sourceOf = "seedbed_source"

// SourceOf returns the source of a flag's value.
func SourceOf(f *pflag.Flag) Source {
	if a := f.Annotations[sourceOf]; a != nil {
		return Source(a[0][0])
	}
	if f.Changed {
		return FromFlag
	}
	return FromDefault
}

// set sets the flags that have no value yet to the values that look returns.
func set(fs *pflag.FlagSet, look func(*pflag.Flag) (values []string, from string), source Source) (err error) {
	fs.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed {
			return
		}
		if values, from := look(f); values != nil {
			err = setFlag(f, values, from, source)
		}
	})
	return err
}

func setFlag(f *pflag.Flag, values []string, from string, source Source) error {
	if values == nil {
		return nil
	}
	list, isList := f.Value.(pflag.SliceValue)
	if !isList && len(values) != 1 {
		return &ValueError{from, fmt.Errorf("it takes one value, not %d", len(values))}
	}
	var err error
	if isList {
		err = list.Replace(values)
	} else {
		err = f.Value.Set(values[0])
	}
	if err != nil && slices.Contains(values, "") {
		err = errors.New("the value is empty; leave it out for the default")
	}
	if err != nil {
		return &ValueError{from, err}
	}
	f.Changed = true
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[sourceOf] = []string{string(rune(source))}
	return nil
}

// A ValueError reports an invalid value in the environment or the settings file.
type ValueError struct {
	From string
	Err  error
}

func (e *ValueError) Error() string { return fmt.Sprintf("%s: %v", e.From, e.Err) }
func (e *ValueError) Unwrap() error { return e.Err }

// Reread returns the settings that a new start with the same command line would have; fs
// are the flags of the running command. A blocklist that is a pipe is an error, because its
// content was consumed at the start.
func (f *File) Reread(ctx context.Context, fs *pflag.FlagSet, command string) (daemon.Settings, error) {
	v := NewValues()
	fresh := pflag.NewFlagSet(command, pflag.ContinueOnError)
	v.AddAll(fresh)
	if command == "daemon" {
		v.AddDaemon(fresh)
	}
	err := set(fresh, func(f *pflag.Flag) ([]string, string) {
		was := fs.Lookup(f.Name)
		if was == nil || SourceOf(was) != FromFlag {
			return nil, ""
		}
		if list, ok := was.Value.(pflag.SliceValue); ok {
			return list.GetSlice(), "--" + f.Name
		}
		return []string{was.Value.String()}, "--" + f.Name
	}, FromFlag)
	if err == nil {
		err = SetEnv(fresh)
	}
	if err == nil {
		err = f.Set(fresh, command)
	}
	if err != nil {
		return daemon.Settings{}, err
	}
	cfg, err := v.node(ctx, userfile.RefusePipes)
	v.Live.Settings = cfg.Settings
	return v.Live, err
}
