// Copies an index from one Meilisearch to another endpoint: settings first, then documents, page by page. It needs
// nothing but Go itself.
//
//	OLD_URL=... OLD_KEY=... NEW_URL=... NEW_KEY=... go run copy_index.go INDEX
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

const page = 1000

// ask sends a request to OLD or NEW and reads the answer into out.
func ask(side, method, path string, body, out any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, os.Getenv(side+"_URL")+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv(side+"_KEY"))
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s", method, path, answer.Status, read)
	}
	return json.Unmarshal(read, out)
}

// change sends a write to NEW and waits until its task has succeeded.
func change(method, path string, body any) error {
	var task struct {
		TaskUid int `json:"taskUid"`
	}
	if err := ask("NEW", method, path, body, &task); err != nil {
		return err
	}
	for {
		var state struct {
			Status string          `json:"status"`
			Error  json.RawMessage `json:"error"`
		}
		if err := ask("NEW", "GET", fmt.Sprintf("/tasks/%d", task.TaskUid), nil, &state); err != nil {
			return err
		}
		switch state.Status {
		case "succeeded":
			return nil
		case "failed", "canceled":
			return fmt.Errorf("task %d: %s", task.TaskUid, state.Error)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func copyIndex(uid string) (int, error) {
	var index struct {
		PrimaryKey string `json:"primaryKey"`
	}
	if err := ask("OLD", "GET", "/indexes/"+uid, nil, &index); err != nil {
		return 0, err
	}
	if err := change("POST", "/indexes", map[string]string{"uid": uid, "primaryKey": index.PrimaryKey}); err != nil {
		return 0, err
	}
	// Settings before documents: nothing is indexed twice.
	var settings json.RawMessage
	if err := ask("OLD", "GET", "/indexes/"+uid+"/settings", nil, &settings); err != nil {
		return 0, err
	}
	if err := change("PATCH", "/indexes/"+uid+"/settings", settings); err != nil {
		return 0, err
	}
	copied := 0
	for {
		var documents struct {
			Results []json.RawMessage `json:"results"`
		}
		path := fmt.Sprintf("/indexes/%s/documents?offset=%d&limit=%d", uid, copied, page)
		if err := ask("OLD", "GET", path, nil, &documents); err != nil {
			return copied, err
		}
		if len(documents.Results) == 0 {
			break
		}
		if err := change("POST", "/indexes/"+uid+"/documents", documents.Results); err != nil {
			return copied, err
		}
		copied += len(documents.Results)
	}
	var stats struct {
		Documents int `json:"numberOfDocuments"`
	}
	if err := ask("NEW", "GET", "/indexes/"+uid+"/stats", nil, &stats); err != nil {
		return copied, err
	}
	if stats.Documents != copied {
		return copied, fmt.Errorf("%d documents were copied, and %d are there", copied, stats.Documents)
	}
	return copied, nil
}

func main() {
	copied, err := copyIndex(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d documents copied\n", copied)
}
