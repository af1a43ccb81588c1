package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.com/zai/internal/spec"
)

// published is where Z.AI publishes the pages of the agents, by the name that they have here.
const published = "https://docs.z.ai/api-reference/agents/"

// runFetch downloads the pages that are here to a folder.
func runFetch(ctx context.Context, root string, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("specupdate fetch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	folder := flags.String("o", "", "download to this `folder`, which must be empty; by default a new temporary one")
	base := flags.String("from", published, "download pages whose address is not known from below this `address`")
	if err := flags.Parse(args); err != nil {
		return exitCannot
	}
	if err := fetch(ctx, root, *folder, *base, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "specupdate fetch: %v\n", err)
		return exitCannot
	}
	return exitSame
}

// fetch downloads every page of the project at root to a folder and prints its name to out. It downloads all or fails,
// but for pages that were cut from a document, which are published nowhere: messages says so.
func fetch(ctx context.Context, root, folder, base string, out, messages io.Writer) error {
	rows, err := spec.Rows(os.DirFS(filepath.Join(root, filepath.FromSlash(pagesFolder))), nil, "")
	if err != nil {
		return err
	}
	if folder == "" {
		if folder, err = os.MkdirTemp("", "zai-pages-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if there, err := os.ReadDir(folder); err != nil {
		return err
	} else if len(there) > 0 {
		return fmt.Errorf("%s is not empty", folder)
	}
	client := &http.Client{Timeout: time.Minute}
	var errs []error
	for _, row := range rows {
		url, guess := row.URL, ""
		if url == "" && strings.HasPrefix(row.Source, cutFrom) {
			fmt.Fprintf(messages, "passed over: %s, which was %s and names no url\n", row.Page, row.Source)
			continue
		}
		if url == "" {
			url, guess = base+row.Page+".md", " (a guess: no header of the page names its url)"
		}
		page, err := download(ctx, client, url)
		if err == nil {
			_, err = spec.ReadPage(row.Page+".md", page)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w%s", url, err, guess))
			continue
		}
		// The page as it was published, under a header that says where and when.
		header := fmt.Sprintf("---\ntitle: %s\nurl: %s\nfetched_at: %s\n---\n\n", row.Page, url, time.Now().UTC().Format(time.RFC3339))
		if err := os.WriteFile(filepath.Join(folder, row.Page+".md"), append([]byte(header), page...), 0o644); err != nil {
			return err
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, folder)
	return err
}

// download returns what is published at an address.
func download(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/markdown, text/plain;q=0.9")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %s", resp.Status)
	}
	page, err := io.ReadAll(io.LimitReader(resp.Body, spec.MaxPage+1))
	if err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(page, []byte("\ufeff")), nil
}
