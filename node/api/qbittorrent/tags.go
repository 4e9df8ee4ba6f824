package qbittorrent

import (
	"context"
	"net/http"
	"slices"

	"seedbed/internal/id"
	"seedbed/node"
)

// Tags are the labels of torrents. One that createTags adds exists until the daemon ends, even if no
// torrent has it.

const (
	// maxTags limits the tags while createTags adds some.
	maxTags = 1000
	// maxTag limits the length of a tag, in bytes, as for the labels of torrents.
	maxTag = 128
)

// A tag is a label of torrents, or one that createTags has created.
type tag struct {
	torrents  int  // that have it
	isCreated bool // it exists even if no torrent has it
	rid       int64
}

// updateTags counts the tags of the torrents that have changed.
func (s *syncer) updateTags(next int64, c node.Changes) {
	if c.Resync {
		for hash := range s.labels {
			s.setLabels(hash, nil, next)
		}
	}
	for _, hash := range c.Removed {
		s.setLabels(hash, nil, next)
	}
	for _, hash := range c.Changed {
		var labels []string
		if t := s.h.node.Torrent(hash); t != nil && !isGone(t) {
			labels = t.Labels()
		}
		s.setLabels(hash, labels, next)
	}
}

// setLabels counts the labels of a torrent in place of those that it had.
func (s *syncer) setLabels(hash id.ID, labels []string, next int64) {
	before := s.labels[hash]
	for _, l := range labels {
		if s.tags[l] == nil {
			s.tags[l] = &tag{rid: next}
		}
		s.tags[l].torrents++
	}
	for _, l := range before {
		s.tags[l].torrents--
		s.dropTag(l, next)
	}
	if len(labels) > 0 {
		s.labels[hash] = labels
	} else {
		delete(s.labels, hash)
	}
}

// dropTag removes a tag that no torrent has, unless it was created.
func (s *syncer) dropTag(name string, next int64) {
	if t := s.tags[name]; t.torrents > 0 || t.isCreated {
		return
	}
	delete(s.tags, name)
	s.remember(&s.gone, versioned{name, next})
}

// createTags adds tags that exist without a torrent, until the daemon ends.
func (s *syncer) createTags(names []string) error {
	if slices.ContainsFunc(names, func(name string) bool { return len(name) > maxTag }) {
		return fail(http.StatusConflict, "a tag has more than %d bytes", maxTag)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.update()
	if len(s.tags)+len(names) > maxTags {
		return fail(http.StatusConflict, "there are too many tags")
	}
	for _, name := range names {
		if s.tags[name] == nil {
			s.tags[name] = &tag{rid: s.rid + 1}
			s.dirty = true
		}
		s.tags[name].isCreated = true
	}
	return nil
}

// forgetTags makes tags exist only while a torrent has them.
func (s *syncer) forgetTags(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.update()
	for _, name := range names {
		if t := s.tags[name]; t != nil {
			t.isCreated = false
			s.dropTag(name, s.rid+1)
			s.dirty = true
		}
	}
}

// tagNames returns the tags, sorted.
func (s *syncer) tagNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.update()
	return s.tagsSince(0)
}

// tagsSince returns the tags, sorted, that are new since an answer.
func (s *syncer) tagsSince(rid int64) (names []string) {
	for name, t := range s.tags {
		if t.rid > rid {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// relabel changes the tags of torrents.
func (c *call) relabel(change func(labels []string) []string) error {
	return c.each(func(ctx context.Context, t *node.Torrent) error {
		return c.Daemon.SetLabels(ctx, t, change(slices.Clone(t.Labels())))
	})
}

func addTags(c *call) error {
	if err := c.require("hashes", "tags"); err != nil {
		return err
	}
	tags := c.list("tags", ",")
	return c.relabel(func(labels []string) []string { return append(labels, tags...) })
}

// removeTags removes tags from torrents; without the parameter tags, all of them.
func removeTags(c *call) error {
	tags := c.list("tags", ",")
	return c.relabel(func(labels []string) []string {
		return slices.DeleteFunc(labels, func(l string) bool { return len(tags) == 0 || slices.Contains(tags, l) })
	})
}

// deleteTags removes tags from all torrents.
func deleteTags(c *call) error {
	if err := c.require("tags"); err != nil {
		return err
	}
	tags := c.list("tags", ",")
	c.sync.forgetTags(tags)
	isOne := func(l string) bool { return slices.Contains(tags, l) }
	tagged := slices.DeleteFunc(c.handler.all(), func(t *node.Torrent) bool { return !slices.ContainsFunc(t.Labels(), isOne) })
	return c.perform(tagged, func(ctx context.Context, t *node.Torrent) error {
		return c.Daemon.SetLabels(ctx, t, slices.DeleteFunc(slices.Clone(t.Labels()), isOne))
	})
}

func createTags(c *call) error {
	if err := c.require("tags"); err != nil {
		return err
	}
	return c.sync.createTags(c.list("tags", ","))
}

func tags(c *call) error {
	return c.json(appendStrings(nil, c.sync.tagNames()))
}
