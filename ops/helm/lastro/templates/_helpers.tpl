{{/* Labels of one part of one domain: dict "root" $ "domain" name "part" web|work */}}
{{- define "lastro.selector" -}}
app.kubernetes.io/name: lastro
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .domain }}-{{ .part }}
{{- end }}

{{- define "lastro.labels" -}}
{{ include "lastro.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "lastro.secret" -}}
{{ .Values.existingSecret | default (printf "%s-secrets" .Release.Name) }}
{{- end }}

{{/* The pod of one part of one domain */}}
{{- define "lastro.pod" -}}
{{- $given := index .root.Values.domains .domain }}
{{- $size := index $given .part }}
{{- $tls := .root.Values.tlsSecret }}
metadata:
  labels:
    {{- include "lastro.labels" . | nindent 4 }}
spec:
  serviceAccountName: {{ .root.Release.Name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile:
      type: RuntimeDefault
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "lastro.selector" . | nindent 10 }}
  containers:
    - name: {{ .part }}
      image: {{ printf "%s/%s:%s" .root.Values.image.registry .domain .root.Values.image.tag | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: [up, {{ .domain }}, --single, --only, {{ .part }}]
      ports:
        - name: http
          containerPort: 8000
      env:
        - name: LASTRO_API_KEYS
          value: "on"
        - name: LASTRO_REDIS_URL_FILE
          value: /run/secrets/lastro/redis_url
        {{- if $tls }}
        - name: LASTRO_TLS_CERTIFICATE
          value: /run/secrets/tls/tls.crt
        - name: LASTRO_TLS_KEY
          value: /run/secrets/tls/tls.key
        {{- else }}
        - name: LASTRO_TLS
          value: "off"
        {{- end }}
        {{- if eq .domain "coupons" }}
        - name: LASTRO_COUPONS_DATABASE_URL_FILE
          value: /run/secrets/lastro/database_url
        - name: LASTRO_COUPONS_SECRET_FILE
          value: /run/secrets/lastro/coupons_secret
        {{- end }}
        {{- range $name, $value := $given.env }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      resources:
        requests:
          cpu: {{ $size.cpu }}
          memory: {{ $size.memory }}
        limits:
          memory: {{ $size.memory }}
      startupProbe:
        {{- include "lastro.probe" (dict "path" "/livez" "tls" $tls) | nindent 8 }}
        periodSeconds: 1
        failureThreshold: 60
      livenessProbe:
        {{- include "lastro.probe" (dict "path" "/livez" "tls" $tls) | nindent 8 }}
        periodSeconds: 10
        timeoutSeconds: 3
      readinessProbe:
        {{- include "lastro.probe" (dict "path" "/readyz" "tls" $tls) | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 3
      lifecycle:
        preStop:
          exec:
            # what still comes is answered while the endpoints learn that this pod goes
            command: [/srv/lastro/venv/bin/python, -c, "import time; time.sleep(5)"]
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        - name: secrets
          mountPath: /run/secrets/lastro
          readOnly: true
        {{- if $tls }}
        - name: tls
          mountPath: /run/secrets/tls
          readOnly: true
        {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    - name: secrets
      secret:
        secretName: {{ include "lastro.secret" .root }}
        defaultMode: 0440
        items:
          - {key: redis_url, path: redis_url}
          {{- if eq .domain "coupons" }}
          - {key: database_url, path: database_url}
          - {key: coupons_secret, path: coupons_secret}
          {{- end }}
    {{- if $tls }}
    - name: tls
      secret:
        secretName: {{ $tls }}
        defaultMode: 0440
    {{- end }}
{{- end }}

{{- define "lastro.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" (ne .tls "") }}
{{- end }}
