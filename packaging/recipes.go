package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// sums returns the SHA-256 of what the release has made, in hex by name.
func (r *release) sums() (map[string]string, error) {
	all := map[string]string{}
	for _, name := range r.made {
		b, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		all[name] = hex.EncodeToString(sum[:])
	}
	return all, nil
}

// writeSums writes SHA256SUMS, for sha256sum --check.
func (r *release) writeSums() error {
	sums, err := r.sums()
	if err != nil {
		return err
	}
	names := slices.Sorted(slices.Values(r.made))
	return r.create("SHA256SUMS", func(w io.Writer) error {
		for _, name := range names {
			if _, err := fmt.Fprintf(w, "%s  %s\n", sums[name], name); err != nil {
				return err
			}
		}
		return nil
	})
}

// recipes writes the Homebrew formula and the Nix expression, which install the program from the archives: those
// in the folder downloads, or those beside the recipe.
func (r *release) recipes() error {
	sums, err := r.sums()
	if err != nil {
		return err
	}
	archive := func(os, arch string) (string, error) {
		name := r.archiveName(target{os, arch})
		if sums[name] == "" {
			return "", fmt.Errorf("there is no %s", name)
		}
		return name, nil
	}
	functions := template.FuncMap{
		"name": archive,
		"sha256": func(os, arch string) (string, error) {
			name, err := archive(os, arch)
			return sums[name], err
		},
	}
	for _, recipe := range []string{"seedbed.rb", "seedbed.nix"} {
		t, err := template.New(recipe + ".tmpl").Funcs(functions).ParseFiles("recipes/" + recipe + ".tmpl")
		if err != nil {
			return err
		}
		values := struct{ Version, Homepage, Downloads, Summary string }{r.version, r.homepage, strings.TrimSuffix(r.downloads, "/"), summary}
		if err := r.create(recipe, func(w io.Writer) error { return t.Execute(w, values) }); err != nil {
			return err
		}
	}
	return nil
}
