package spec

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Row says where one page comes from.
type Row struct {
	Page       string   // name without extension
	Operations []string // as in "POST /v1/agents"
	Kind       string   // vendored or transcribed
	Source     string   // address of a published page, or the facts of a transcribed one
	URL        string   // address to download the page from, if it is known
	Date       string   // when it was fetched or written, as in 2026-01-24
	SHA256     string   // of the file
}

// Rows describes the pages in fsys, in the order of Merge. The day on which a page was fetched stands in its header.
// Where it does not, the day is that of the old row with the same checksum, and today for a page that has none.
func Rows(fsys fs.FS, old []Row, today string) ([]Row, error) {
	pages, err := ReadPages(fsys)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, page := range pages {
		content, err := fs.ReadFile(fsys, page.Name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		row := Row{
			Page:       strings.TrimSuffix(page.Name, path.Ext(page.Name)),
			Operations: page.Operations(),
			Kind:       page.kind(),
			Source:     page.Source,
			URL:        page.URL,
			SHA256:     hex.EncodeToString(sum[:]),
			Date:       today,
		}
		for _, before := range old {
			if before.SHA256 == row.SHA256 {
				row.Date = before.Date
			}
		}
		if page.Vendored() {
			header := readHeader(content)
			row.Source = cmp.Or(header.URL, header.Source, "a published page, without its address")
			row.Date = cmp.Or(header.day(), row.Date)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// header is what stands above a downloaded page.
type header struct {
	URL       string `yaml:"url"`
	Source    string `yaml:"source"`
	FetchedAt string `yaml:"fetched_at"`
}

var day = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}`)

func (h header) day() string { return day.FindString(h.FetchedAt) }

// readHeader reads the header of a page; what is none is empty.
func readHeader(page []byte) header {
	var h header
	page = bytes.ReplaceAll(bytes.TrimPrefix(page, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
	if rest, ok := bytes.CutPrefix(page, []byte("---\n")); ok {
		if front, _, ok := bytes.Cut(rest, []byte("\n---\n")); ok && yaml.Unmarshal(front, &h) != nil {
			return header{}
		}
	}
	return h
}

const tableHead = "| Page | Operation | Kind | Source | Date | SHA-256 |\n|---|---|---|---|---|---|\n"

// line is the row as a line of the table.
func (r Row) line() string {
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	source := r.Source
	if strings.HasPrefix(source, "https://") {
		source = "<" + source + ">"
	}
	cells := []string{
		"`" + r.Page + "`", "`" + strings.Join(r.Operations, "`, `") + "`", r.Kind, cell.Replace(source), r.Date, "`" + r.SHA256 + "`",
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

var tableLine = regexp.MustCompile("(?m)^\\| `([^`|]+)` \\|.*\\| (\\d{4}-\\d{2}-\\d{2}) \\| `([0-9a-f]{64})` \\|\n")

// ReadTable returns the days and checksums of the table in a text.
func ReadTable(text []byte) []Row {
	var rows []Row
	for _, match := range tableLine.FindAllSubmatch(text, -1) {
		rows = append(rows, Row{Page: string(match[1]), Date: string(match[2]), SHA256: string(match[3])})
	}
	return rows
}

// WriteTable replaces the table in a text by one of rows.
func WriteTable(text []byte, rows []Row) ([]byte, error) {
	before, after, ok := bytes.Cut(text, []byte(tableHead))
	if !ok {
		return nil, errors.New("there is no table of pages")
	}
	for bytes.HasPrefix(after, []byte("|")) {
		_, after, _ = bytes.Cut(after, []byte("\n"))
	}
	var table strings.Builder
	table.WriteString(tableHead)
	for _, row := range rows {
		table.WriteString(row.line())
	}
	return slices.Concat(before, []byte(table.String()), after), nil
}

const (
	unreleased = "\n## [Unreleased]\n"
	origin     = "\nGenerated from:\n\n"
)

// WriteChangelog replaces the list of pages in the section Unreleased of a changelog, or begins one there.
func WriteChangelog(text []byte, rows []Row) ([]byte, error) {
	before, section, ok := bytes.Cut(text, []byte(unreleased))
	if !ok {
		return nil, errors.New("the changelog has no section Unreleased")
	}
	var list strings.Builder
	list.WriteString(origin)
	for _, row := range rows {
		verb := "fetched"
		if row.Kind == "transcribed" {
			verb = row.Kind
		}
		fmt.Fprintf(&list, "- page `%s`, %s %s, SHA-256 `%.12s`\n", row.Page, verb, row.Date, row.SHA256)
	}
	section, rest := section, []byte(nil)
	if next := bytes.Index(section, []byte("\n## ")); next >= 0 {
		section, rest = section[:next], section[next:]
	}
	head, tail, ok := bytes.Cut(section, []byte(origin))
	if !ok {
		head, tail = nil, section
	}
	for ok && bytes.HasPrefix(tail, []byte("- ")) {
		_, tail, _ = bytes.Cut(tail, []byte("\n"))
	}
	return slices.Concat(before, []byte(unreleased), head, []byte(list.String()), tail, rest), nil
}
