package main

import (
	"io"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func (r *release) sbomName() string { return "seedbed-" + r.version + ".cdx.json" }

// sbom writes the bill of materials in CycloneDX: every library that is part of the program on any target.
func (r *release) sbom() error {
	parts, err := r.components()
	if err != nil {
		return err
	}
	program := cdx.Component{BOMRef: "pkg:golang/seedbed@" + r.version, Type: cdx.ComponentTypeApplication, Name: "seedbed", Version: r.version,
		PackageURL: "pkg:golang/seedbed@" + r.version, Description: summary, Licenses: licence("MIT")}
	var components []cdx.Component
	var refs []string
	for _, c := range parts {
		components = append(components, cdx.Component{BOMRef: c.purl, Type: cdx.ComponentTypeLibrary, Name: c.name, Version: c.version, PackageURL: c.purl, Licenses: licence(c.license)})
		refs = append(refs, c.purl)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: r.date.Format(time.RFC3339), Component: &program}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: program.BOMRef, Dependencies: &refs}}
	return r.create(r.sbomName(), func(w io.Writer) error {
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	})
}

func licence(id string) *cdx.Licenses {
	if id == "" {
		return nil
	}
	return &cdx.Licenses{{License: &cdx.License{ID: id}}}
}
