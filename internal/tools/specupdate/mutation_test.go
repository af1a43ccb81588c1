package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/zai/internal/project"
	"example.com/zai/internal/tools/goapi"
)

const (
	result       = "get-async-result.md"
	agent        = "agent.yaml"
	conversation = "agent-conversation.yaml"
	upload       = "file-upload.yaml"
)

// A mutation is a change of one page, made by replacing the first occurrence of each old text by the new one.
type mutation struct {
	name    string
	page    string
	replace []string // old, new, old, new
	code    int
	want    []string // in the report, or in the error where the page is not even read
	not     []string // not in the report
}

// Headings of the report.
const (
	gone         = "### Response properties that are gone"
	changes      = "### Changes of the API (oasdiff)"
	incompatible = "### Exported Go API: incompatible (apidiff)"
	compatible   = "### Exported Go API: compatible (apidiff)"
	dead         = "### Overlay actions that do not apply"
	idle         = "### Overlay actions that have lost their effect"
	values       = "### Values and constants"
	texts        = "### Texts that changed"
)

var mutations = []mutation{
	{
		name: "result: unchanged", page: result, code: exitSame,
		want: []string{"nothing changed"},
		not:  []string{"###"},
	},
	{
		name: "result: header only", page: result, code: exitSame,
		replace: []string{
			"word_count: 67",
			"word_count: 68",
			"2026-01-24T11",
			"2026-02-25T11",
		},
		want: []string{"nothing changed"},
		not:  []string{"###"},
	},
	{
		name: "result: prose only", page: result, code: exitCompatible,
		replace: []string{
			"> This endpoint is used to query",
			"> This endpoint helps to query",
		},
		want: []string{"`get-async-result.md`: replaced"},
		not:  []string{changes, incompatible, texts, "breaking"},
	},
	{
		name: "result: description only", page: result, code: exitCompatible,
		replace: []string{
			"description: Task ID from async response.",
			"description: Id of the task.",
		},
		want: []string{texts, `"Task ID from async response." became "Id of the task."`},
		not:  []string{"breaking", changes, compatible, incompatible},
	},
	{
		name: "result: new optional field", page: result, code: exitCompatible,
		replace: []string{
			`        async_id:
          type: string
          description: Asynchronous task ID.
`,
			`        async_id:
          type: string
          description: Asynchronous task ID.
        progress:
          type: integer
          description: How far the task is, in percent.
`,
		},
		want: []string{"`Result.Progress`: added", "added the optional property `progress`"},
		not:  []string{"breaking", incompatible, dead, texts, values},
	},
	{
		name: "result: rename an optional response property", page: result, code: exitBreaking,
		replace: []string{
			`              index:
                type: integer
                description: Result index.
`,
			`              position:
                type: integer
                description: Result index.
`,
		},
		want: []string{gone, "removed the optional property `choices/items/index`", "added the optional property `choices/items/position`", "`Choice.Index`: removed", "`Choice.Position`: added"},
	},
	{
		name: "result: remove an optional response property", page: result, code: exitBreaking,
		replace: []string{
			`              index:
                type: integer
                description: Result index.
`,
			"",
		},
		want: []string{gone, "`choices/items/index`", "`Choice.Index`: removed"},
		not:  []string{"info: POST"},
	},
	{
		name: "result: rename a property that the overlay binds", page: result, code: exitCannot,
		replace: []string{
			"              finish_reason:",
			"              stop_reason:",
		},
		want: []string{gone, "choices/items/finish_reason", dead, "properties.finish_reason` (Binds the open enum.)", "`Choice.FinishReason`: removed", "The change itself is breaking"},
	},
	{
		name: "result: remove a leaf that nothing binds", page: result, code: exitCannot,
		replace: []string{
			`                          video_url:
                            type: string
                            description: MP4 video URL.
`,
			"",
		},
		want: []string{gone, "content/items/video_url", "The change itself is breaking", "does not compile"},
		not:  []string{dead},
	},
	{
		name: "result: retype a property", page: result, code: exitBreaking,
		replace: []string{
			`              index:
                type: integer
                description: Result index.
`,
			`              index:
                type: string
                description: Result index.
`,
		},
		want: []string{"`type` changed from `integer` to `string`", "`Choice.Index`: changed from int to string"},
	},
	{
		name: "result: retype a request property", page: result, code: exitCannot,
		replace: []string{
			"          type: string\n          description: Task ID",
			"          type: integer\n          description: Task ID",
		},
		want: []string{"the `async_id` request property `type` changed", "`Task.AsyncID`: changed from string to int", "does not compile", "task.go"},
		not:  []string{dead},
	},
	{
		name: "result: move a shape into a $ref", page: result, code: exitCannot,
		replace: []string{
			`            message:
              type: string
              description: Error message.
`,
			`            message:
              type: string
              description: Error message.
    AgentError:
      type: object
      properties:
        code:
          type: string
          description: Error code.
        message:
          type: string
          description: Error message.
`,
			`        error:
          type: object
          properties:
            code:
              type: string
              description: Error code.
            message:
              type: string
              description: Error message.
`,
			`        error:
          $ref: '#/components/schemas/AgentError'
`,
		},
		want: []string{"`ErrorDetail`: the overlay names it, and the name no longer takes effect", dead, idle, "beside a `$ref`", "`ErrorDetail`: removed"},
	},
	{
		name: "result: add a required request field", page: result, code: exitBreaking,
		replace: []string{
			"    CommonAgentResultRequest:\n      type: object\n",
			`    CommonAgentResultRequest:
      type: object
      required:
        - tenant
`,
			"        agent_id:\n          type: string\n          description: 'Agent ID: `vidu",
			"        tenant:\n          type: string\n          description: Tenant.\n        agent_id:\n          type: string\n          description: 'Agent ID: `vidu",
		},
		want: []string{"breaking: POST /v1/agents/async-result: added the new required request property `tenant`", "`Task.Tenant`: added"},
	},
	{
		name: "result: make a request field required", page: result, code: exitBreaking,
		replace: []string{
			"    CommonAgentResultRequest:\n      type: object\n",
			`    CommonAgentResultRequest:
      type: object
      required:
        - async_id
`,
		},
		want: []string{"breaking: POST /v1/agents/async-result: the request property `async_id` became required"},
	},
	{
		name: "result: add a status word in the text", page: result, code: exitCompatible,
		replace: []string{
			"`failed` (failed).",
			"`failed` (failed), `canceled` (canceled).",
		},
		want: []string{values, "names Status canceled, and package api has no constant", texts},
		not:  []string{"breaking", changes},
	},
	{
		name: "result: add a status word in other quotes", page: result, code: exitCompatible,
		replace: []string{
			"‘sensitive’, or ‘network_error’",
			"\"sensitive\", 'paused', or ‘network_error’",
		},
		want: []string{values, "names FinishReason paused, and package api has no constant", texts},
		not:  []string{"breaking", changes},
	},
	{
		name: "result: move a status word into a $ref", page: result, code: exitCompatible,
		replace: []string{
			"          type: string\n          description: '`pending` (processing), `success` (completed), `failed` (failed).'\n",
			"          $ref: '#/components/schemas/TaskStatus'\n",
			"    CommonAgentResultResponse:\n",
			"    TaskStatus:\n      type: string\n      enum: [pending, success, failed, canceled]\n    CommonAgentResultResponse:\n",
		},
		want: []string{values, "names Status canceled, and package api has no constant", idle, "beside a `$ref`", "`TaskStatus`: added"},
	},
	{
		name: "result: new optional field named like a word of OpenAPI", page: result, code: exitCompatible,
		replace: []string{
			"        async_id:\n          type: string\n          description: Asynchronous task ID.\n",
			`        async_id:
          type: string
          description: Asynchronous task ID.
        servers:
          type: integer
          description: How many servers work on it.
`,
		},
		want: []string{"`Result.Servers`: added", "added the optional property `servers`"},
		not:  []string{"breaking", "server changed", incompatible},
	},
	{
		name: "result: a server of the operation", page: result, code: exitBreaking,
		replace: []string{
			"    post:\n",
			"    post:\n      servers:\n        - url: https://eu.api.z.ai/api\n",
		},
		want: []string{"breaking: server changed: /paths/~1v1~1agents~1async-result/post/servers: added"},
	},
	{
		name: "result: drop a status word from the text", page: result, code: exitCompatible,
		replace: []string{
			"‘sensitive’, or ‘network_error’",
			"or ‘network_error’",
		},
		want: []string{texts, "‘sensitive’"},
		not:  []string{"breaking", changes},
	},
	{
		name: "result: add an operation", page: result, code: exitCompatible,
		replace: []string{
			"  /v1/agents/async-result:\n",
			`  /v1/agents/cancel:
    post:
      description: Cancels a task.
      responses:
        '200':
          description: Done.
  /v1/agents/async-result:
`,
		},
		want: []string{"info: POST /v1/agents/cancel: endpoint added", "PostV1AgentsCancel", "no operationId"},
		not:  []string{"breaking", incompatible},
	},
	{
		name: "result: change the path", page: result, code: exitCannot,
		replace: []string{
			"  /v1/agents/async-result:",
			"  /v1/agents/results:",
		},
		want: []string{"breaking: POST /v1/agents/async-result: api path removed", "POST /v1/agents/results: endpoint added", dead, "The change itself is breaking"},
	},
	{
		name: "result: change the method", page: result, code: exitCannot,
		replace: []string{
			"    post:",
			"    put:",
		},
		want: []string{"breaking: POST /v1/agents/async-result: api removed", "PUT /v1/agents/async-result: endpoint added", dead},
	},
	{
		name: "result: change the server", page: result, code: exitBreaking,
		replace: []string{
			"https://api.z.ai/api\n",
			"https://api.z.ai/api/v2\n",
		},
		want: []string{"breaking: server changed: /servers/0/url", "https://api.z.ai/api/v2", "`DefaultServer`: value changed"},
	},
	{
		name: "result: add a server", page: result, code: exitCompatible,
		replace: []string{
			"    description: Production server\n",
			`    description: Production server
  - url: https://eu.api.z.ai/api
    description: Europe
`,
		},
		want: []string{"info: server changed: /servers/1: added", "`ServerURLEurope`: added"},
		not:  []string{"breaking"},
	},
	{
		name: "result: drop the security", page: result, code: exitCompatible,
		replace: []string{
			"security:\n  - bearerAuth: []\n",
			"security: []\n",
		},
		want: []string{"POST /v1/agents/async-result: the endpoint now allows anonymous access", "kept what get-async-result.md (vendored) says, not agent.yaml"},
		not:  []string{"breaking"},
	},
	{
		name: "result: change the security scheme", page: result, code: exitBreaking,
		replace: []string{
			"      scheme: bearer",
			"      scheme: basic",
		},
		want: []string{"breaking: the component security scheme `bearerAuth` http scheme changed from `bearer` to `basic`"},
	},
	{
		name: "result: break the YAML", page: result, code: exitCannot,
		replace: []string{
			"paths:\n",
			"paths: [\n",
		},
		want: []string{"get-async-result.md: line", "broken YAML"},
		not:  []string{"##"},
	},
	{
		name: "result: drop the closing fence", page: result, code: exitCannot,
		replace: []string{
			"z.ai/manage-apikey/apikey-list)\n\n````",
			"z.ai/manage-apikey/apikey-list)\n",
		},
		want: []string{"the fenced block is not closed"},
		not:  []string{"##"},
	},
	{
		name: "result: drop the opening fence", page: result, code: exitCannot,
		replace: []string{
			"````yaml POST /v1/agents/async-result",
			"",
		},
		want: []string{"the fenced block is not closed"},
		not:  []string{"##"},
	},
	{
		name: "result: duplicate a component in the page", page: result, code: exitCannot,
		replace: []string{
			"    SpecialEffectsVideosAgentError:\n      type: object\n",
			`    CommonAgentResultRequest:
      type: string
    SpecialEffectsVideosAgentError:
      type: object
`,
		},
		want: []string{`duplicate key "CommonAgentResultRequest"`},
		not:  []string{"##"},
	},
	{
		name: "result: a component with other content than that of a transcribed page", page: result, code: exitCompatible,
		replace: []string{
			`            message:
              type: string
              description: Error message.
`,
			`            message:
              type: string
              description: Error message.
            hint:
              type: string
              description: What to do.
`,
		},
		want: []string{"added the optional property `error/hint`", "kept what get-async-result.md (vendored) says, not agent.yaml (transcribed)", "`ErrorDetail.Hint`: added"},
		not:  []string{"breaking"},
	},
	{
		name: "result: close an enum", page: result, code: exitCompatible,
		replace: []string{
			"          description: '`pending` (processing), `success` (completed), `failed` (failed).'\n",
			"          description: '`pending` (processing), `success` (completed), `failed` (failed).'\n          enum: [pending, success, failed]\n",
		},
		want: []string{"restricted to a list of enum values"},
		not:  []string{"breaking"},
	},
	{
		name: "result: open an enum", page: result, code: exitCompatible,
		replace: []string{
			"        enum:\n          - en-US,en\n",
			"",
		},
		want: []string{"removed the enum constraint from the `header` request parameter"},
		not:  []string{"breaking"},
	},
	{
		name: "result: change the default of a parameter", page: result, code: exitCannot,
		replace: []string{
			"        default: en-US,en",
			"        default: zh-CN",
		},
		want: []string{"not valid", "invalid default"},
		not:  []string{"##"},
	},
	{
		name: "result: rename a component", page: result, code: exitCannot,
		replace: []string{
			"'#/components/schemas/CommonAgentResultResponse'",
			"'#/components/schemas/AgentResult'",
			"    CommonAgentResultResponse:",
			"    AgentResult:",
		},
		want: []string{dead, "$.components.schemas.CommonAgentResultResponse`", "choices.items.properties.message.items`", "removed the schema `CommonAgentResultResponse`"},
	},
	{
		name: "result: an unknown type", page: result, code: exitCannot,
		replace: []string{
			`              index:
                type: integer
                description: Result index.
`,
			`              index:
                type: number32
                description: Result index.
`,
		},
		want: []string{`unsupported 'type' value "number32"`},
		not:  []string{"##"},
	},
	{
		name: "result: a reference to nothing", page: result, code: exitCannot,
		replace: []string{
			"'#/components/schemas/CommonAgentResultResponse'",
			"'#/components/schemas/Nothing'",
		},
		want: []string{"#/components/schemas/Nothing"},
		not:  []string{"##"},
	},
	{
		name: "result: another media type", page: result, code: exitBreaking,
		replace: []string{
			`      requestBody:
        content:
          application/json:`,
			`      requestBody:
        content:
          application/x-www-form-urlencoded:`,
		},
		want: []string{"breaking: POST /v1/agents/async-result: removed the media type", "RetrieveAgentResultWithFormdataBody"},
	},
	{
		name: "result: another success status", page: result, code: exitBreaking,
		replace: []string{
			"        '200':",
			"        '202':",
		},
		want: []string{"breaking: POST /v1/agents/async-result: removed the success response", "JSON202"},
	},
	{
		name: "result: make a property nullable", page: result, code: exitBreaking,
		replace: []string{
			`              index:
                type: integer
                description: Result index.
`,
			`              index:
                type: integer
                description: Result index.
                nullable: true
`,
		},
		want: []string{"became nullable"},
		not:  []string{incompatible},
	},
	{
		name: "result: info only", page: result, code: exitCompatible,
		replace: []string{
			"  version: 1.0.0",
			"  version: 1.1.0",
		},
		want: []string{texts, "/info/version"},
		not:  []string{"breaking", changes},
	},
	{
		name: "agent: description only", page: agent, code: exitCompatible,
		replace: []string{
			"          description: Id of the task, with",
			"          description: The id of the task, with",
		},
		want: []string{texts},
		not:  []string{"breaking", changes, incompatible},
	},
	{
		name: "agent: remove a response property", page: agent, code: exitBreaking,
		replace: []string{
			"            tag_cn",
			"            tag_zh",
		},
		want: []string{gone, "tag_cn", "tag_zh"},
	},
	{
		name: "agent: remove a response property in a branch", page: agent, code: exitBreaking,
		replace: []string{
			`        conversation_id:
          type: string
          description: Conversation of the deck.
        agent_id:
          type: string
          description: Agent that answers.
`,
			`        agent_id:
          type: string
          description: Agent that answers.
`,
		},
		want: []string{gone, "GlmSlideAgentResponse]/conversation_id"},
	},
	{
		name: "agent: a new enum value", page: agent, code: exitCompatible,
		replace: []string{
			"                - reflection\n",
			"                - reflection\n                - agentic\n",
		},
		want: []string{"added the new `agentic` enum value", values, "names Strategy agentic"},
		not:  []string{"breaking"},
	},
	{
		name: "agent: remove an enum value", page: agent, code: exitBreaking,
		replace: []string{
			"                - three_step\n",
			"",
		},
		want: []string{"breaking: POST /v1/agents: removed the enum value `three_step`"},
	},
	{
		name: "agent: open an enum", page: agent, code: exitCompatible,
		replace: []string{
			`              enum:
                - general
                - paraphrase
                - two_step
                - three_step
                - reflection
`,
			"",
		},
		want: []string{"removed the enum constraint from the request property"},
		not:  []string{"breaking"},
	},
	{
		name: "agent: rename a request property", page: agent, code: exitBreaking,
		replace: []string{
			"            glossary:",
			"            terms:",
		},
		want: []string{"custom_variables/glossary", "`TranslationOptions.Glossary`: removed", "`TranslationOptions.Terms`: added"},
		not:  []string{gone},
	},
	{
		name: "agent: add a required request property", page: agent, code: exitBreaking,
		replace: []string{
			`    SpecialEffectsVideosAgentRequest:
      type: object
      required:
        - agent_id
`,
			`    SpecialEffectsVideosAgentRequest:
      type: object
      required:
        - request_id
        - agent_id
`,
		},
		want: []string{"/request_id` became required"},
	},
	{
		name: "agent: add an optional request property", page: agent, code: exitCompatible,
		replace: []string{
			"            glossary:\n",
			`            domain:
              type: string
              description: Field of knowledge.
            glossary:
`,
		},
		want: []string{"`TranslationOptions.Domain`: added"},
		not:  []string{"breaking"},
	},
	{
		name: "agent: differ from the vendored page", page: agent, code: exitCompatible,
		replace: []string{
			"          description: 'Status: `pending` (task created), `failed` (task creation failed).'\n",
			"          description: Status.\n",
		},
		want: []string{"kept what get-async-result.md (vendored) says, not agent.yaml (transcribed)"},
		not:  []string{"breaking", changes, texts},
	},
	{
		name: "agent: break the YAML", page: agent, code: exitCannot,
		replace: []string{
			"paths:\n",
			"paths: }\n",
		},
		want: []string{"agent.yaml: line", "broken YAML"},
		not:  []string{"##"},
	},
	{
		name: "agent: change the path", page: agent, code: exitCannot,
		replace: []string{
			"  /v1/agents:\n",
			"  /v2/agents:\n",
		},
		want: []string{"breaking: POST /v1/agents: api path removed", "POST /v2/agents: endpoint added", dead},
	},
	{
		name: "agent: another server", page: agent, code: exitCompatible,
		replace: []string{
			"https://api.z.ai/api\n",
			"https://api.z.ai/api/v2\n",
		},
		want: []string{"/servers: kept what get-async-result.md (vendored) says, not agent.yaml (transcribed)"},
		not:  []string{"breaking", changes},
	},
	{
		name: "agent: a new agent", page: agent, code: exitCompatible,
		replace: []string{
			`                - title: GLM Slide/Poster
                  $ref: '#/components/schemas/GlmSlideAgentRequest'
`,
			`                - title: GLM Slide/Poster
                  $ref: '#/components/schemas/GlmSlideAgentRequest'
                - title: Poem
                  $ref: '#/components/schemas/PoemAgentRequest'
`,
			"    SpecialEffectsVideosAgentResponse:\n",
			"    PoemAgentRequest:\n      type: object\n      properties:\n        agent_id:\n          type: string\n          description: 'Agent, `poem_agent`.'\n    SpecialEffectsVideosAgentResponse:\n",
		},
		want: []string{"PoemAgentRequest", values, "names AgentID poem_agent"},
		not:  []string{"breaking"},
	},
	{
		name: "agent: move a named shape into a $ref", page: agent, code: exitBreaking,
		replace: []string{
			`                general:
                  type: object
                  description: Options of the general strategy.
                  properties:
                    suggestion:
                      type: string
                      description: Hints on style and on words.
`,
			`                general:
                  $ref: '#/components/schemas/GeneralOptions'
`,
			"    SpecialEffectsVideosAgentResponse:\n",
			`    GeneralOptions:
      type: object
      description: Options of the general strategy.
      properties:
        suggestion:
          type: string
          description: Hints on style and on words.
    SpecialEffectsVideosAgentResponse:
`,
		},
		want: []string{"`GeneralStrategyConfig`: the overlay names it, and the name no longer takes effect", idle, "`GeneralOptions`: added"},
		not:  []string{changes, dead},
	},
	{
		name: "agent: drop the mark", page: agent, code: exitCompatible,
		replace: []string{
			"x-transcribed:",
			"x-written:",
		},
		want: []string{"`agent.md`: replaced (POST /v1/agents), cut from the document agent.yaml", "`agent.yaml`: removed"},
		not:  []string{"breaking"},
	},
	{
		name: "conversation: remove a response property", page: conversation, code: exitBreaking,
		replace: []string{
			`                          file_url:
                            type: string
                            description: Address of a file.
`,
			"",
		},
		want: []string{gone, "content/items/file_url"},
	},
	{
		name: "conversation: retype a request property", page: conversation, code: exitBreaking,
		replace: []string{
			`                    type: number
                    description: Number`,
			`                    type: string
                    description: Number`,
		},
		want: []string{"`type` changed from `number` to `string`"},
	},
	{
		name: "conversation: rename a request property", page: conversation, code: exitCannot,
		replace: []string{
			"            include_pdf:",
			"            with_pdf:",
		},
		want: []string{dead, "include_pdf", "`ConversationOptions.IncludePDF`: removed"},
		not:  []string{gone},
	},
	{
		name: "conversation: new export", page: conversation, code: exitCompatible,
		replace: []string{
			"            include_pdf:\n",
			`            include_html:
              type: boolean
              description: Whether HTML is made too.
            include_pdf:
`,
		},
		want: []string{"`ConversationOptions.IncludeHTML`: added"},
		not:  []string{"breaking"},
	},
	{
		name: "conversation: a component of another transcribed page", page: conversation, code: exitCannot,
		replace: []string{
			"          format: int32\n",
			"          format: int64\n",
		},
		want: []string{"/components/schemas/Error: agent-conversation.yaml and agent.yaml differ"},
		not:  []string{"##"},
	},
	{
		name: "conversation: move the items into a $ref", page: conversation, code: exitCannot,
		replace: []string{
			`              items:
                type: object
                properties:
                  position:
                    type: number
                    description: Number of the page.
                  width:
                    type: number
                    description: Width of the page in points.
                  height:
                    type: number
                    description: Height of the page in points.
`,
			`              items:
                $ref: '#/components/schemas/ExportedPage'
    ExportedPage:
      type: object
      properties:
        position:
          type: number
          description: Number of the page.
        width:
          type: number
          description: Width of the page in points.
        height:
          type: number
          description: Height of the page in points.
`,
		},
		want: []string{"`PageExport`: the overlay names it", dead, "pages.items.properties.width`", idle, "`ExportedPage`: added"},
	},
	{
		name: "upload: a new purpose", page: upload, code: exitCompatible,
		replace: []string{
			"                    - agent\n",
			"                    - agent\n                    - batch\n",
		},
		want: []string{"added the new `batch` enum value"},
		not:  []string{"breaking", values},
	},
	{
		name: "upload: remove a response property", page: upload, code: exitBreaking,
		replace: []string{
			`                  filename:
                    type: string
                    description: Name of the file.
`,
			"",
		},
		want: []string{gone, "`filename`", "`File.Filename`: removed"},
	},
	{
		name: "upload: retype a response property", page: upload, code: exitBreaking,
		replace: []string{
			`                    type: integer
                    description: Size in bytes.`,
			`                    type: string
                    description: Size in bytes.`,
		},
		want: []string{"the `bytes` response's property `type` changed from `integer` to `string`"},
	},
	{
		name: "upload: change the method", page: upload, code: exitCannot,
		replace: []string{
			"    post:",
			"    put:",
		},
		want: []string{"breaking: POST /paas/v4/files: api removed", "PUT /paas/v4/files: endpoint added", dead},
	},
	{
		name: "upload: new optional response property", page: upload, code: exitCompatible,
		replace: []string{
			"                  filename:\n",
			`                  status:
                    type: string
                    description: State of the file.
                  filename:
`,
		},
		want: []string{"`File.Status`: added"},
		not:  []string{"breaking"},
	},
	{
		name: "upload: description only", page: upload, code: exitCompatible,
		replace: []string{
			"description: Size in bytes.",
			"description: The size in bytes.",
		},
		want: []string{texts},
		not:  []string{"breaking", changes},
	},
	{
		name: "upload: drop the operation", page: upload, code: exitCannot,
		replace: []string{
			"paths:\n  /paas/v4/files:\n    post:",
			"paths: {}\nx-paths:\n  /paas/v4/files:\n    post:",
		},
		want: []string{"no paths"},
		not:  []string{"##"},
	},
}

// named returns the mutation of a name.
func named(t *testing.T, name string) *mutation {
	t.Helper()
	i := slices.IndexFunc(mutations, func(m mutation) bool { return m.name == name })
	if i < 0 {
		t.Fatalf("no mutation %q", name)
	}
	return &mutations[i]
}

// mutate returns the mutated page.
func (m *mutation) mutate(t *testing.T, root string) []byte {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(pagesFolder), m.page))
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for i := 0; i < len(m.replace); i += 2 {
		if !strings.Contains(text, m.replace[i]) {
			t.Fatalf("%s does not say %q", m.page, m.replace[i])
		}
		text = strings.Replace(text, m.replace[i], m.replace[i+1], 1)
	}
	return []byte(text)
}

// TestMutations changes the pages in many ways, one at a time. Each change is reported as what it is, and a refusal
// leaves the project as it was.
func TestMutations(t *testing.T) {
	t.Parallel()
	root := projectRoot(t)
	updaterOf := quick(t)
	files := needed(t, root)
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			copied := filepath.Join(t.TempDir(), "project")
			if err := project.Copy(copied, root, files); err != nil {
				t.Fatal(err)
			}
			page := filepath.Join(t.TempDir(), m.page)
			if err := os.WriteFile(page, m.mutate(t, root), 0o600); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, copied)

			var out bytes.Buffer
			code, err := updaterOf(copied).run(t.Context(), false, []string{page}, nil, &out)
			report := out.String()
			if err != nil {
				report += "error: " + err.Error()
			}
			if code != m.code {
				t.Errorf("exit code %d, want %d", code, m.code)
			}
			for _, want := range m.want {
				if !strings.Contains(report, want) {
					t.Errorf("the report does not say %q", want)
				}
			}
			for _, not := range m.not {
				if strings.Contains(report, not) {
					t.Errorf("the report says %q", not)
				}
			}
			if t.Failed() {
				t.Logf("%s", report)
			}
			if same := snapshot(t, copied) == before; same != (code == exitCannot || code == exitSame) {
				t.Errorf("with exit code %d the project is the same: %v", code, same)
			}
		})
	}
}

// needed lists the files of the project without those that no update looks at.
func needed(t *testing.T, root string) []string {
	t.Helper()
	files, err := project.Files(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(name string) bool {
		return strings.Contains(name, "/testdata/") || strings.HasSuffix(name, "_test.go") ||
			strings.HasPrefix(name, "internal/tools/") || strings.HasPrefix(name, "internal/consumer/")
	})
}

// projectRoot returns the folder of the project, which is not this module.
func projectRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// quick returns a function that makes updaters which do the same as others in less time: the generator runs alone,
// because the pages are merged already, by the same code as in "go generate"; and that the client compiles is left to the
// loader, which type-checks it.
func quick(t *testing.T) func(root string) *updater {
	t.Helper()
	tools, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return func(root string) *updater {
		u := newUpdater(root)
		u.loader = tools.loader
		u.check = func(context.Context, string) error { return nil }
		u.generate = func(ctx context.Context, dir string) error {
			cmd := exec.CommandContext(ctx, tools.program, "-config", "oapi-codegen.yaml", "openapi.yaml")
			cmd.Dir = dir
			if output, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("oapi-codegen: %w\n%s", err, output)
			}
			return nil
		}
		return u
	}
}

// A toolset is what the tests share: a loader, and the file name of the generator.
type toolset struct {
	loader  *goapi.Loader
	program string
}

var shared = sync.OnceValues(func() (*toolset, error) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	// The first command builds the generator, the second one says where it is.
	if err := goCommand(ctx, root, "tool", "oapi-codegen", "-version"); err != nil {
		return nil, err
	}
	out, err := project.Command(ctx, root, "go", "tool", "-n", "oapi-codegen").Output()
	return &toolset{&goapi.Loader{Dir: root}, strings.TrimSpace(string(out))}, err
})

// snapshot returns the names and contents of all files below dir.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	files, err := project.Walk(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "--- %s\n%s", name, content)
	}
	return all.String()
}
