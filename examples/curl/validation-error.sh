#!/bin/sh
# Two names that are too short: the text is ZITADEL's for the first, `details` has both. Nothing is changed.
#   validation-error.sh <userId>                        Environment: PROFILE_URL, PROFILE_TOKEN
set -eu
curl --silent --show-error -w '\n%{http_code}\n' -X PUT "$PROFILE_URL/management/v1/users/$1/profile" \
  -H "Authorization: Bearer $PROFILE_TOKEN" -H 'Content-Type: application/json' \
  -d '{"firstName":"","lastName":""}'
