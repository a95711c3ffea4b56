#!/bin/sh
# Replaces the profile of a user (UpdateHumanProfile): what is not sent becomes empty. After a lost answer, the same
# key again: the change is made once.
#   update.sh <userId> <idempotencyKey>                 Environment: PROFILE_URL, PROFILE_TOKEN
set -eu
curl --silent --show-error --fail-with-body -X PUT "$PROFILE_URL/management/v1/users/$1/profile" \
  -H "Authorization: Bearer $PROFILE_TOKEN" -H 'Content-Type: application/json' \
  -H "Idempotency-Key: $2" \
  -d '{"firstName":"Mia","lastName":"Mouse","displayName":"Mia M","preferredLanguage":"en","gender":"GENDER_FEMALE"}'
