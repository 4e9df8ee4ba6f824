package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"seedbed/internal/await"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// A Category is a group of torrents with a folder for the data of new ones. A torrent has at most
// one.
//
// "film/short" is a subcategory of "film", which then exists too. A subcategory without a folder has
// one in that of its parent, if that has one: "short" in the folder of "film".
type Category struct {
	Name string `json:"name"`
	Dir  string `json:"dir,omitempty"` // "": that of the parent category, or the folder of the daemon
}

// IsInCategory reports whether name is a category or one of its subcategories.
func IsInCategory(name, category string) bool {
	return name == category || strings.HasPrefix(name, category+"/")
}

// parentOf returns the name of the parent category and the last part of a name. A category without a
// parent has "" as the first.
func parentOf(name string) (parent, last string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}

// ErrNoCategory is returned by EditCategory for a name that no category has.
var ErrNoCategory = errors.New("there is no such category")

const (
	maxCategories = 1000
	maxCategory   = 128 // bytes of a name
)

// categories are kept in a file of the state directory.
type categories struct {
	path   string
	mu     sync.Mutex                          // held while they change, which waits for the disk
	byName atomic.Pointer[map[string]Category] // never modified
}

func (c *categories) open(state string) error {
	c.path = filepath.Join(state, "categories.json")
	all := map[string]Category{}
	b, err := statefile.Read(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		var list []Category
		if err := json.Unmarshal(b, &list); err != nil {
			return usage(fmt.Errorf("%s is damaged: %w", c.path, err), "remove it to forget the folders of the categories")
		}
		for _, k := range list {
			all[k.Name] = k
		}
	}
	c.byName.Store(&all)
	return nil
}

// change edits a copy of the categories and saves it.
func (c *categories) change(edit func(map[string]Category) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(*c.byName.Load())
	if err := edit(all); err != nil {
		return err
	}
	if len(all) > maxCategories {
		return usage(fmt.Errorf("there are %d categories", maxCategories), "remove some first")
	}
	b, err := json.MarshalIndent(sortedCategories(all), "", " ")
	if err != nil {
		return err
	}
	if err := statefile.WriteSync(c.path, append(b, '\n')); err != nil {
		return err
	}
	c.byName.Store(&all)
	return nil
}

func sortedCategories(all map[string]Category) []Category {
	list := slices.AppendSeq([]Category{}, maps.Values(all)) // an empty list in JSON, not null
	slices.SortFunc(list, func(a, b Category) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Categories returns the categories, sorted by name.
func (d *Daemon) Categories() []Category { return sortedCategories(*d.categories.byName.Load()) }

// categoryDir returns the folder for new torrents of a category, or "" if it has none.
func (d *Daemon) categoryDir(name string) string {
	if dir := (*d.categories.byName.Load())[name].Dir; dir != "" || name == "" {
		return dir
	}
	parent, last := parentOf(name)
	if dir := d.categoryDir(parent); dir != "" {
		return filepath.Join(dir, last)
	}
	return ""
}

// CreateCategory adds a category. It changes nothing if there is one with that name and folder,
// and fails if there is one with another folder.
func (d *Daemon) CreateCategory(ctx context.Context, c Category) error {
	return d.setCategory(ctx, c, func(old Category, exists bool) error {
		if exists && old.Dir != c.Dir {
			return node.NewFault(node.FaultExists, fmt.Errorf("there is a category %q already", c.Name), "edit it instead")
		}
		return nil
	})
}

// EditCategory changes the folder of a category. The data of its torrents stays where it is.
func (d *Daemon) EditCategory(ctx context.Context, c Category) error {
	return d.setCategory(ctx, c, func(_ Category, exists bool) error {
		if !exists {
			return ErrNoCategory
		}
		return nil
	})
}

func (d *Daemon) setCategory(ctx context.Context, c Category, check func(old Category, exists bool) error) error {
	if err := checkCategory(c.Name); err != nil {
		return err
	}
	return await.Do(ctx, func() (err error) {
		if c.Dir != "" {
			if c.Dir, err = d.allowed().check(c.Dir); err != nil {
				return err
			}
		}
		return d.categories.change(func(all map[string]Category) error {
			old, exists := all[c.Name]
			all[c.Name] = c
			for parent, _ := parentOf(c.Name); parent != ""; parent, _ = parentOf(parent) {
				if _, exists := all[parent]; !exists {
					all[parent] = Category{Name: parent}
				}
			}
			return check(old, exists)
		})
	})
}

// checkCategory returns an error if a text cannot be the name of a category.
func checkCategory(name string) error {
	switch {
	case name == "" || strings.TrimSpace(name) != name:
		return usage(fmt.Errorf("%q is not the name of a category", name), "give a name without blanks around it")
	case slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return part == "" || part == "." || part == ".." }):
		return usage(fmt.Errorf("%q is not the name of a category", name), "slashes stand between the names of a category and its subcategories: film/short")
	case len(name) > maxCategory:
		return usage(fmt.Errorf("the name of a category has %d bytes", len(name)), fmt.Sprintf("at most %d are allowed", maxCategory))
	}
	return nil
}

// PutCategory adds a category or changes its folder, as EditCategory does.
func (d *Daemon) PutCategory(ctx context.Context, c Category) error {
	return d.setCategory(ctx, c, func(Category, bool) error { return nil })
}

// RemoveCategories removes categories with their subcategories. Their torrents stay, without one.
func (d *Daemon) RemoveCategories(ctx context.Context, names []string) error {
	var failed error
	for _, t := range d.node.Torrents() {
		if c := t.Details().Category; c != "" && isInAny(c, names) {
			if err := t.SetCategory(ctx, ""); err != nil && !errors.Is(err, node.ErrEnded) {
				failed = errors.Join(failed, err)
			}
		}
	}
	if failed != nil {
		return failed
	}
	return await.Do(ctx, func() error {
		return d.categories.change(func(all map[string]Category) error {
			maps.DeleteFunc(all, func(name string, _ Category) bool { return isInAny(name, names) })
			return nil
		})
	})
}

func isInAny(name string, categories []string) bool {
	return slices.ContainsFunc(categories, func(category string) bool { return IsInCategory(name, category) })
}

// SetCategory changes the category of a torrent; "" means none. It creates a category that does not
// exist. The data stays where it is.
func (d *Daemon) SetCategory(ctx context.Context, t *node.Torrent, name string) error {
	if err := d.makeCategory(ctx, name); err != nil {
		return err
	}
	return t.SetCategory(ctx, name)
}

// makeCategory creates a category without a folder if it does not exist.
func (d *Daemon) makeCategory(ctx context.Context, name string) error {
	if _, exists := (*d.categories.byName.Load())[name]; exists || name == "" {
		return nil
	}
	return d.PutCategory(ctx, Category{Name: name})
}
