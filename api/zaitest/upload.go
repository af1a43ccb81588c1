package zaitest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

const uploadPath = "/paas/v4/files"

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

// Uploads returns the files that the server took, oldest first. Their content is not to be
// changed.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.uploads)
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	u, err := s.readForm(r)
	if err != nil {
		APIError(http.StatusBadRequest, "1214", err.Error())(w, r, nil)
		return
	}
	if u.Size > s.MaxFile {
		APIError(435, "435", "the file is over the size limit")(w, r, nil)
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

// readForm reads a form of one purpose and one file, and of the file no more than says that it
// is too large.
func (s *Server) readForm(r *http.Request) (u Upload, err error) {
	form, err := r.MultipartReader()
	if err != nil {
		return u, err
	}
	var parts []string
	for u.Size <= s.MaxFile && len(parts) < 3 {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u, err
		}
		hash := sha256.New()
		content, err := io.ReadAll(io.TeeReader(io.LimitReader(part, max(s.MaxContent, 64)), hash))
		if err != nil {
			return u, err
		}
		size, err := io.Copy(hash, io.LimitReader(part, s.MaxFile+1-int64(len(content))))
		if err != nil {
			return u, err
		}
		if name := part.FileName(); name == "" {
			u.Purpose = string(content)
		} else {
			u.Name, u.ContentType, u.Size = name, part.Header.Get("Content-Type"), size+int64(len(content))
			u.Content, u.SHA256 = content[:min(int64(len(content)), max(s.MaxContent, 0))], [sha256.Size]byte(hash.Sum(nil))
		}
		parts = append(parts, fmt.Sprintf("%s, a file %t", part.FormName(), part.FileName() != ""))
	}
	if slices.Sort(parts); u.Size <= s.MaxFile && (u.Purpose != "agent" || !slices.Equal(parts, []string{"file, a file true", "purpose, a file false"})) {
		return u, fmt.Errorf("purpose %q and parts %q, not one file and the purpose agent", u.Purpose, parts)
	}
	return u, nil
}
