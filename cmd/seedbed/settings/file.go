package settings

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/adrg/xdg"
	"github.com/pelletier/go-toml/v2"

	"seedbed/internal/option"
	"seedbed/internal/userfile"
)

// maxFile is the maximum size of a settings file in bytes.
const maxFile = 1 << 20

// DefaultFile returns the path of the settings file.
func DefaultFile() string { return filepath.Join(xdg.ConfigHome, "seedbed", "config.toml") }

// A File is the settings file, which the program reads and never writes. A top-level key is
// a setting of every command that runs a node. A table named after a command holds flags of
// that command.
type File struct {
	Path     string
	top      map[string][]string
	commands map[string]map[string][]string
}

// A FileError reports a settings file that cannot be used.
type FileError struct {
	Path string
	Err  error
	hint string
}

func (e *FileError) Error() string { return fmt.Sprintf("%s: %v", e.Path, e.Err) }
func (e *FileError) Unwrap() error { return e.Err }

// Hint returns advice.
func (e *FileError) Hint() string { return e.hint }

// ReadFile reads the settings file at path. flags are the flags of each command, by command
// name; any other key is an error. If the user has not named the file, a missing file
// counts as empty and a pipe is an error. A pipe is also an error if the file is read
// again.
func ReadFile(ctx context.Context, path string, flags map[string][]string, named, again bool) (*File, error) {
	f := &File{Path: path, top: map[string][]string{}, commands: map[string]map[string][]string{}}
	b, err := userfile.Read(ctx, path, userfile.Pipes(named && !again), maxFile)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return f, nil
	}
	var raw map[string]any
	var syntax *toml.DecodeError
	if err == nil {
		err = toml.Unmarshal(b, &raw)
	}
	var p *fs.PathError
	var kind *userfile.KindError
	var stopped *userfile.StoppedError
	switch {
	case errors.As(err, &stopped):
		return nil, err
	case errors.As(err, &kind):
		return nil, &FileError{path, errors.New(kind.Reason()), "name the settings file with --config"}
	case errors.As(err, &syntax):
		line, column := syntax.Position()
		return nil, &FileError{path, fmt.Errorf("line %d, column %d: %w", line, column, syntax), "see the manual's page on the settings file"}
	case errors.As(err, &p):
		return nil, &FileError{path, p.Err, "name the settings file with --config"}
	case err != nil:
		return nil, &FileError{Path: path, Err: err}
	}
	var settings []string
	for _, s := range Table {
		settings = append(settings, s.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if table, ok := raw[key].(map[string]any); ok && flags[key] != nil {
			if f.commands[key], err = f.table(key, table, flags[key]); err != nil {
				return nil, err
			}
			continue
		}
		if flags[key] != nil && !slices.Contains(settings, key) {
			return nil, &FileError{path, fmt.Errorf("%s is the name of a command, so it must be a table: [%s]", key, key), "seedbed " + key + " --help lists its flags"}
		}
		if !slices.Contains(settings, key) {
			return nil, f.unknown("", key, isTable(raw[key]), append(settings, slices.Sorted(maps.Keys(flags))...))
		}
		if f.top[key], err = f.texts(key, raw[key]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// table reads the flags of one command.
func (f *File) table(command string, raw map[string]any, flags []string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if !slices.Contains(flags, key) {
			return nil, f.unknown(command, key, false, flags)
		}
		var err error
		if out[key], err = f.texts(command+"."+key, raw[key]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unknown returns the error for a key or a table that does not exist.
func (f *File) unknown(command, key string, table bool, known []string) error {
	e := &FileError{Path: f.Path, Err: fmt.Errorf("unknown key %q", key), hint: "seedbed settings lists the keys"}
	if table {
		e.Err = fmt.Errorf("unknown table [%s]", key)
		e.hint = "a table has the name of a command"
	}
	if command != "" {
		e.Err = fmt.Errorf("unknown key %q in [%s]", key, command)
		e.hint = "seedbed " + command + " --help lists the flags"
	}
	if near := option.Nearest(key, known); near != "" {
		e.hint = "did you mean " + near + "?"
	}
	return e
}

func isTable(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return true
	case []any:
		return len(v) > 0 && isTable(v[0])
	}
	return false
}

// texts returns a value in the form that a flag takes, or the values of a list.
func (f *File) texts(key string, v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := []string{}
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case int64:
			out = append(out, strconv.FormatInt(v, 10))
		case float64:
			out = append(out, strconv.FormatFloat(v, 'g', -1, 64))
		case bool:
			out = append(out, strconv.FormatBool(v))
		default:
			return nil, &FileError{f.Path, fmt.Errorf("%s is not a string, a number, true, false or a list of these", key), "put sizes and durations in quotes"}
		}
	}
	return out, nil
}
