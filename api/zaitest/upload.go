package zaitest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	uploadPath = "/paas/v4/files"
	maxFile    = 100 << 20
)

// An Upload is a file that the server took.
type Upload struct {
	ID          string
	Name        string
	Purpose     string
	ContentType string // of the part
	Size        int64
	SHA256      [sha256.Size]byte
	Content     []byte // its first MaxContent bytes
}

// Uploads returns the files that the server took, oldest first. Their content is not to be changed.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.uploads)
}

var errTooLarge = errors.New("the file is over the size limit")

func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	u, err := s.readForm(r)
	switch {
	case errors.Is(err, errTooLarge):
		APIError(435, "435", err.Error())(w, r, nil)
		return
	case err != nil:
		APIError(http.StatusBadRequest, "1214", err.Error())(w, r, nil)
		return
	}
	now := time.Now().Unix()
	s.mu.Lock()
	u.ID = fmt.Sprintf("agent-%d-zaitest%04d", now, len(s.uploads)+1)
	s.uploads = append(s.uploads, u)
	s.mu.Unlock()
	writeJSON(w, agentJSON, http.StatusOK, object{
		"id": u.ID, "object": "file", "bytes": u.Size, "filename": u.Name, "purpose": u.Purpose, "created_at": now,
	})
}

// readForm reads a form of one purpose and one file, without keeping more of the file than is wanted.
func (s *Server) readForm(r *http.Request) (u Upload, err error) {
	form, err := r.MultipartReader()
	if err != nil {
		return u, err
	}
	seen := map[string]int{}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u, err
		}
		switch name := part.FormName(); {
		case name == "purpose" && part.FileName() == "":
			value, err := io.ReadAll(io.LimitReader(part, 64))
			if err != nil {
				return u, err
			}
			u.Purpose = string(value)
		case name == "file" && part.FileName() != "":
			if err := s.readFile(part, &u); err != nil {
				return u, err
			}
		}
		seen[part.FormName()]++
	}
	if len(seen) != 2 || seen["purpose"] != 1 || seen["file"] != 1 || u.Purpose != "agent" || u.Name == "" {
		return u, fmt.Errorf("the form has %v and purpose %q, not one file and the purpose agent", seen, u.Purpose)
	}
	return u, nil
}

func (s *Server) readFile(part *multipart.Part, u *Upload) error {
	u.Name, u.ContentType = part.FileName(), part.Header.Get("Content-Type")
	var content strings.Builder
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(hash, &content), io.LimitReader(part, max(s.MaxContent, 0)))
	if err != nil {
		return err
	}
	more, err := io.Copy(hash, io.LimitReader(part, maxFile+1-n))
	if err != nil {
		return err
	}
	if u.Size = n + more; u.Size > maxFile {
		return errTooLarge
	}
	u.Content = []byte(content.String())
	hash.Sum(u.SHA256[:0])
	return nil
}
