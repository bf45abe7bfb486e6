# The secrets and not their values: a value here would stand in the state and in every plan. The outputs have the commands
# that set them.
resource "google_secret_manager_secret" "connector" {
  for_each            = local.secrets
  project             = var.project
  secret_id           = each.key
  labels              = merge(local.labels, { connector = each.value })
  deletion_protection = var.deletion_protection

  replication {
    dynamic "auto" {
      for_each = length(var.secret_locations) == 0 ? [1] : []

      content {
        dynamic "customer_managed_encryption" {
          for_each = [for location, key in var.secret_kms_keys : key if location == "global"]

          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }

    dynamic "user_managed" {
      for_each = length(var.secret_locations) == 0 ? [] : [1]

      content {
        dynamic "replicas" {
          for_each = var.secret_locations

          content {
            location = replicas.value

            dynamic "customer_managed_encryption" {
              for_each = [for location, key in var.secret_kms_keys : key if location == replicas.value]

              content {
                kms_key_name = customer_managed_encryption.value
              }
            }
          }
        }
      }
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.secrets, time_sleep.services]
}
