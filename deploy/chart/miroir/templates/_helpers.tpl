{{/* The name of everything that the chart makes, and the beginning of the others' names. */}}
{{- define "miroir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "miroir.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "miroir.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "miroir.selector" -}}
app.kubernetes.io/name: {{ include "miroir.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "miroir.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{ include "miroir.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "miroir.secretName" -}}
{{- default (printf "%s-keys" (include "miroir.fullname" .)) .Values.keys.existingSecret -}}
{{- end -}}

{{- define "miroir.serviceAccount" -}}
{{- default (include "miroir.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "miroir.isShared" -}}
{{- if eq .Values.store.backend "redis" -}}true{{- end -}}
{{- end -}}

{{/* The forced modes once more, in words: the schema says the same, and can be skipped on the command line. */}}
{{- define "miroir.check" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- $several := gt (int $v.replicas) 1 -}}
{{- if and (eq $v.store.backend "redis") (not $several) -}}
{{- $wrong = append $wrong "rule 1: store.backend redis needs more than one replica; set replicas to 2 or more, or store.backend to sled" -}}
{{- end -}}
{{- if and $several (ne $v.store.backend "redis") -}}
{{- $wrong = append $wrong "rule 2: more than one replica needs Redis; set store.backend to redis, or replicas to 1" -}}
{{- end -}}
{{- if and $v.hpa.enabled (or (lt (int $v.hpa.minReplicas) 2) (not $several) (ne $v.store.backend "redis")) -}}
{{- $wrong = append $wrong "rule 3: hpa needs at least two replicas and Redis; set replicas and hpa.minReplicas to 2 or more and store.backend to redis, or hpa.enabled to false" -}}
{{- end -}}
{{- if and $several (eq $v.searchUi.rateLimit.backend "local") -}}
{{- $wrong = append $wrong "rule 4: a local rate limit of search pages cannot hold for more than one replica; set searchUi.rateLimit.backend to redis or auto, or replicas to 1" -}}
{{- end -}}
{{- if and $several (eq $v.adminUi.rateLimit.backend "local") -}}
{{- $wrong = append $wrong "rule 5: a local rate limit of console logins cannot hold for more than one replica; set adminUi.rateLimit.backend to redis or auto, or replicas to 1" -}}
{{- end -}}
{{- range $name, $ui := dict "searchUi" $v.searchUi "adminUi" $v.adminUi -}}
{{- if and (eq $ui.rateLimit.backend "redis") (ne $v.store.backend "redis") -}}
{{- $wrong = append $wrong (printf "%s.rateLimit.backend redis needs Redis; set store.backend to redis, or %s.rateLimit.backend to auto" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and (include "miroir.isShared" .) (not (or $v.redis.deploy $v.redis.url $v.redis.existingSecret)) -}}
{{- $wrong = append $wrong "store.backend redis needs a Redis; set redis.url, redis.existingSecret, or redis.deploy to true" -}}
{{- end -}}
{{- if and $v.nodes.deploy (lt (int $v.nodes.perGroup) (int $v.replicationFactor)) -}}
{{- $wrong = append $wrong "replicationFactor is larger than nodes.perGroup; set nodes.perGroup to at least replicationFactor" -}}
{{- end -}}
{{- if and (not $v.nodes.deploy) (not $v.nodes.external) -}}
{{- $wrong = append $wrong "there are no nodes; list them in nodes.external, or set nodes.deploy to true" -}}
{{- end -}}
{{- if gt (int $v.hpa.minReplicas) (int $v.hpa.maxReplicas) -}}
{{- $wrong = append $wrong "hpa.minReplicas is larger than hpa.maxReplicas; set hpa.maxReplicas to at least hpa.minReplicas" -}}
{{- end -}}
{{- range tuple "node" "store" "listen" "metrics-listen" "shards" "replication-factor" "pod-id" "peer" "peer-service" "drain-timeout" "cores" "master-key" "node-master-key" "admin-key" "env" -}}
{{- if hasKey $v.options . -}}
{{- $wrong = append $wrong (printf "options.%s is the chart's own; set the value of the chart that stands for it" .) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (join "\n" $wrong) -}}
{{- end -}}
{{- end -}}

{{/* The nodes as the gateway's option has them, one a line. Each has a service of its own, whose address stays when its
pod gets another one: the gateway looks names up once, when it starts. */}}
{{- define "miroir.nodes" -}}
{{- if .Values.nodes.deploy -}}
{{- $name := include "miroir.fullname" . -}}
{{- range $group := until (int .Values.nodes.groups) }}
{{- range $number := until (int $.Values.nodes.perGroup) }}
{{ printf "g%d-%d=http://%s-node-g%d-%d.%s.svc:7700,group=%d" $group $number $name $group $number $.Release.Namespace $group }}
{{- end }}
{{- end }}
{{- else -}}
{{- range .Values.nodes.external }}
{{ printf "%s=%s,group=%d" .id .url (int (default 0 .group)) }}{{ with .capacity }},capacity={{ . }}{{ end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Whole CPUs, from a quantity such as 2 or 1500m; at least one. */}}
{{- define "miroir.cores" -}}
{{- $limits := default dict .Values.resources.limits -}}
{{- $requests := default dict .Values.resources.requests -}}
{{- $cpu := default (default "1" $requests.cpu) $limits.cpu | toString -}}
{{- if .Values.cores -}}
{{- .Values.cores -}}
{{- else if hasSuffix "m" $cpu -}}
{{- max 1 (div (trimSuffix "m" $cpu | int) 1000) -}}
{{- else -}}
{{- max 1 (floor (float64 $cpu) | int) -}}
{{- end -}}
{{- end -}}

{{/* miroir.toml */}}
{{- define "miroir.config" -}}
listen = "0.0.0.0:7700"
metrics-listen = {{ printf "0.0.0.0:%d" (int .Values.metrics.port) | quote }}
env = "production"
cores = {{ include "miroir.cores" . }}
shards = {{ int .Values.shards }}
replication-factor = {{ int .Values.replicationFactor }}
drain-timeout = {{ .Values.drainTimeout | quote }}
{{- if not (include "miroir.isShared" .) }}
store = "sled:/var/lib/miroir/store"
{{- else if .Values.peerService }}
peer-service = {{ printf "_clients._tcp.%s-pods.%s.svc.cluster.local" (include "miroir.fullname" .) .Release.Namespace | quote }}
{{- end }}
{{- if not (hasKey .Values.options "dump-dir") }}
dump-dir = "/var/lib/miroir/dumps"
{{- end }}
node = [
{{- range splitList "\n" (include "miroir.nodes" . | trim) }}
  {{ . | quote }},
{{- end }}
]
{{- range $name, $value := .Values.options }}
{{ $name }} = {{ $value | toJson }}
{{- end }}
{{- end -}}

{{- define "miroir.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}
