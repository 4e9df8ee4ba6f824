package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A component is a library that is part of the program.
type component struct {
	name, version string
	purl          string // package URL
	license       string // the identifier of SPDX, or ""
	text          []byte // of the licence
}

// components returns the libraries that are part of the program on any of the targets.
func (r *release) components() ([]component, error) {
	if r.parts != nil {
		return r.parts, nil
	}
	modules := map[string]bool{}
	toolchain := ""
	for _, t := range r.targets {
		path, err := r.build(t)
		if err != nil {
			return nil, err
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, err
		}
		toolchain = strings.TrimPrefix(info.GoVersion, "go")
		for _, m := range info.Deps {
			modules[m.Path] = true
		}
	}
	args := []string{"list", "-m", "-f", "{{.Path}} {{.Version}} {{.Dir}}"}
	for m := range modules {
		args = append(args, m)
	}
	list := exec.Command("go", args...)
	list.Dir, list.Env = "..", append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	var all []component
	for line := range strings.Lines(string(out)) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		c, err := licensed(component{name: f[0], version: f[1], purl: "pkg:golang/" + f[0] + "@" + f[1]}, f[2])
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	web, err := webComponents("../node/web/static/lib")
	if err != nil {
		return nil, err
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	std, err := licensed(component{name: "std", version: toolchain, purl: "pkg:golang/std@" + toolchain}, strings.TrimSpace(string(goroot)))
	if err != nil {
		return nil, err
	}
	all = append(append(all, web...), std)
	slices.SortFunc(all, func(a, b component) int { return strings.Compare(a.purl, b.purl) })
	r.parts = all
	return all, nil
}

// licensed returns c with the licence in the folder dir. Without one the release fails, because what has no
// licence must not be distributed.
func licensed(c component, dir string) (component, error) {
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "COPYING*", "License*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return c, err
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				return c, err
			}
			c.text = append(append(c.text, b...), '\n')
		}
		if len(paths) > 0 {
			c.license = identify(string(c.text))
			return c, nil
		}
	}
	return c, fmt.Errorf("%s has no licence in %s", c.name, dir)
}

// identify returns the identifier of a licence by phrases that only it has, or "".
func identify(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case strings.Contains(text, "Mozilla Public License Version 2.0"), strings.Contains(text, "Mozilla Public License, version 2.0"):
		return "MPL-2.0"
	case strings.Contains(text, "Apache License Version 2.0"):
		return "Apache-2.0"
	case strings.Contains(text, "Neither the name of"), strings.Contains(text, "nor the names of"):
		return "BSD-3-Clause"
	case strings.Contains(text, "Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	case strings.Contains(text, "Permission to use, copy, modify, and/or distribute"), strings.Contains(text, "Permission to use, copy, modify, and distribute"):
		return "ISC"
	case strings.Contains(text, "Permission is hereby granted, free of charge"):
		return "MIT"
	}
	return ""
}

// webComponents returns the libraries of the web page, which SOURCES lists.
func webComponents(dir string) ([]component, error) {
	b, err := os.ReadFile(filepath.Join(dir, "SOURCES"))
	if err != nil {
		return nil, err
	}
	var all []component
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // package version licence file sha256
		if len(f) != 5 || !strings.HasPrefix(f[3], "LICENSE-") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f[3]))
		if err != nil {
			return nil, err
		}
		all = append(all, component{name: f[0], version: f[1], purl: "pkg:npm/" + f[0] + "@" + f[1], license: f[2], text: text})
	}
	if len(all) == 0 {
		return nil, errors.New(dir + "/SOURCES lists no licence")
	}
	return all, nil
}

// notices returns the licences of everything that is part of the program, which must come with it.
func (r *release) notices() ([]byte, error) {
	all, err := r.components()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("seedbed contains these libraries. Their licences follow.\n\n")
	for _, c := range all {
		fmt.Fprintf(&b, "  %s %s\n", c.name, c.version)
	}
	for _, c := range all {
		fmt.Fprintf(&b, "\n%s\n%s %s\n\n%s\n", strings.Repeat("-", 80), c.name, c.version, bytes.TrimSpace(c.text))
	}
	return b.Bytes(), nil
}
