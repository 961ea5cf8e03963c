# A user uploads a policy; its text is extracted in the background.
# shellcheck shell=sh disable=SC2034,SC2154
step '5  A user uploads a policy as PDF'
since=$(now)
as_user Maya "$maya"
call document_upload "{\"title\": \"My home policy\", \"document_type\": \"policy\",
 \"file_url\": \"$site/documents/home-policy-wording.pdf\", \"file_size\": 2768}"
same 'taken' 201 "$status"
document=$(field "$answer" document,id)
call document_upload "{\"title\": \"Secret\", \"document_type\": \"policy\",
 \"file_url\": \"$site/documents/home-policy-wording.pdf\", \"encrypt\": true}"
holds 'encrypt: true is refused rather than pretended' test "$status" -ge 400
holds 'every job ended' watch_queue "$since" 30
say 'Her own documents, as Maya:'
caller_table "SELECT title, document_type, extraction_status, page_count, length(extracted_text) AS characters FROM documents"
say 'The text of it:'
caller_value "SELECT extracted_text FROM documents" | tr '\f' '\n' | head -n 12 | sed -e 's/^/   │ /'
same 'the text is there' t "$(caller_value "SELECT extracted_text LIKE '%Policy number: HM-2024-004817%' AND extracted_text LIKE '%Section 4. How to claim%' FROM documents")"
same 'three pages were read' 3 "$(caller_value 'SELECT page_count FROM documents')"
as_user Tom "$tom"
same 'Tom sees no document' 0 "$(caller_value 'SELECT count(*) FROM documents')"
