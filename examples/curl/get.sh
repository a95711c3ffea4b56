#!/bin/sh
# The profile of a user (GetHumanProfile).
#   get.sh <userId>                                     Environment: PROFILE_URL, PROFILE_TOKEN
set -eu
curl --silent --show-error --fail-with-body "$PROFILE_URL/management/v1/users/$1/profile" \
  -H "Authorization: Bearer $PROFILE_TOKEN"
