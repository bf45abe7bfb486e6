# The secrets and not their values: a value here would stand in the state and in every plan. The outputs have the commands
# that set them.
resource "google_secret_manager_secret" "connector" {
  for_each  = local.secrets
  project   = var.project
  secret_id = each.value
  labels    = local.labels

  replication {
    dynamic "auto" {
      for_each = length(var.secret_locations) == 0 ? [1] : []

      content {}
    }

    dynamic "user_managed" {
      for_each = length(var.secret_locations) == 0 ? [] : [1]

      content {
        dynamic "replicas" {
          for_each = var.secret_locations

          content {
            location = replicas.value
          }
        }
      }
    }
  }

  depends_on = [google_project_service.required]
}
