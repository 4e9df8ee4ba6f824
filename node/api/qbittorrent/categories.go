package qbittorrent

import (
	"context"
	"net/http"
	"strings"

	"seedbed/node"
	"seedbed/node/daemon"
)

func categories(c *call) error {
	o := newObject(nil)
	for _, k := range c.Daemon.Categories() {
		o.object(k.Name, func(o *object) { describeCategory(o, k.Name, k.Dir) })
	}
	return c.json(o.end())
}

func describeCategory(o *object, name, dir string) {
	o.str("name", name)
	o.str("savePath", dir)
}

// hasCategory reports whether there is a category with a name.
func (h *handler) hasCategory(name string) bool {
	for _, k := range h.Daemon.Categories() {
		if k.Name == name {
			return true
		}
	}
	return false
}

// category returns the category that the parameters describe.
func (c *call) category() (daemon.Category, error) {
	name := c.get("category")
	switch {
	case name == "":
		return daemon.Category{}, fail(http.StatusBadRequest, "Category cannot be empty")
	case strings.HasPrefix(name, "/"), strings.HasSuffix(name, "/"), strings.Contains(name, "//"), strings.Contains(name, `\`):
		return daemon.Category{}, fail(http.StatusConflict, "Incorrect category name")
	}
	return daemon.Category{Name: name, Dir: c.get("savePath")}, nil
}

func createCategory(c *call) error {
	k, err := c.category()
	if err != nil {
		return err
	}
	if c.hasCategory(k.Name) {
		return fail(http.StatusConflict, "Unable to create category")
	}
	return c.changeCategory(func(ctx context.Context) error { return c.Daemon.CreateCategory(ctx, k) })
}

func editCategory(c *call) error {
	if err := c.require("category", "savePath"); err != nil {
		return err
	}
	k, err := c.category()
	if err != nil {
		return err
	}
	return c.changeCategory(func(ctx context.Context) error { return c.Daemon.EditCategory(ctx, k) })
}

// changeCategory performs a change. Every error is a conflict: the parameters are what qBittorrent
// accepts.
func (c *call) changeCategory(do func(context.Context) error) error {
	if _, err := c.start(do); err != nil {
		return fail(http.StatusConflict, "%v", err)
	}
	return nil
}

func removeCategories(c *call) error {
	if err := c.require("categories"); err != nil {
		return err
	}
	names := c.list("categories", "\n")
	_, err := c.start(func(ctx context.Context) error { return c.Daemon.RemoveCategories(ctx, names) })
	return err
}

func setCategory(c *call) error {
	if err := c.require("hashes", "category"); err != nil {
		return err
	}
	name := c.get("category")
	if name != "" && !c.hasCategory(name) {
		return fail(http.StatusConflict, "Incorrect category name")
	}
	return c.each(func(ctx context.Context, t *node.Torrent) error { return c.Daemon.SetCategory(ctx, t, name) })
}
