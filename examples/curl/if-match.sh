#!/bin/sh
# Changes what was read and nothing else (UpdateUser, v2). The second change, meant for the same version, comes too
# late: 412, and the ETag of what is there now.
#   if-match.sh <userId> <nickName> <other nickName>    Environment: PROFILE_URL, PROFILE_TOKEN
set -eu
etag=$(curl --silent --show-error --fail-with-body -o /dev/null -w '%header{etag}' "$PROFILE_URL/v2/users/$1" \
  -H "Authorization: Bearer $PROFILE_TOKEN")
for nick_name in "$2" "$3"; do
  curl --silent --show-error -o /dev/null -w 'If-Match: '"$etag"': %{http_code}, ETag: %header{etag}\n' \
    -X PATCH "$PROFILE_URL/v2/users/$1" -H "If-Match: $etag" \
    -H "Authorization: Bearer $PROFILE_TOKEN" -H 'Content-Type: application/json' \
    -d '{"human":{"profile":{"nickName":"'"$nick_name"'"}}}'
done
