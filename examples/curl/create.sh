#!/bin/sh
# Creates a user (AddHumanUser, v2). Run again it gets the first answer, by its key.
#   create.sh <userId>                                  Environment: PROFILE_URL, PROFILE_TOKEN
set -eu
user=$1
curl --silent --show-error --fail-with-body -X POST "$PROFILE_URL/v2/users/human" \
  -H "Authorization: Bearer $PROFILE_TOKEN" -H 'Content-Type: application/json' \
  -H "Idempotency-Key: create-$user" \
  -d '{"userId":"'"$user"'","profile":{"givenName":"Mia","familyName":"Mouse"},"email":{"email":"mia@zoo.example"}}'
